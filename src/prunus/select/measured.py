"""The split of a budget that loses least by what was measured of every site."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy
from pydantic import PositiveFloat, model_validator

from prunus.errors import PrunusError
from prunus.select._pool import Candidate, Pool
from prunus.select.curves import Curves
from prunus.sensitivity import Sensitivity, SiteCurve
from prunus.site import Site


class Measured(Curves):
    """Minimises the sum of losses that were measured site by site (``prunus sensitivity``).

    Between what was measured, losses are interpolated: the nearest that never rise as units stay,
    linear in units; below the fewest units that were measured of a site, none go. Scores only say
    which units of a site go first. Losses are taken to add up, as in SPDY (Frantar & Alistarh,
    ICML 2022, arXiv 2201.13096).

    Attributes:
        table: ``sensitivity.json``, or the folder that it lies in.
        minutes: instead, how long a run measures first.
    """

    reads: ClassVar[Literal["scores", "curve"]] = "scores"
    table: str | None = None
    minutes: PositiveFloat | None = None

    @model_validator(mode="after")
    def _one(self) -> "Measured":
        if (self.table is None) == (self.minutes is None):
            raise PrunusError(
                "select: measured: say either table (a sensitivity.json), or minutes (how long a"
                " run measures first)"
            )
        return self

    @cached_property
    def _measured(self) -> Sensitivity:
        if self.table is None:
            raise PrunusError(
                "select: measured: only `prunus run` measures first; elsewhere name a table, which"
                " `prunus sensitivity` writes"
            )
        return Sensitivity.read(self.table)

    def require(
        self, sites: Mapping[str, Site], score: dict[str, Any], weights: Callable[[], str]
    ) -> None:
        """Check that the table speaks of this model, these sites, and this order of units.

        Raises:
            PrunusError: it does not.
        """
        self._measured.require(score, weights())
        for site in sites.values():
            self._curve(site)

    def judged(self, candidate: Candidate, price: float) -> Candidate:
        """The candidate with measured losses in place of those of scores.

        Raises:
            PrunusError: nothing was measured of its site.
        """
        points = self._curve(candidate.site).points[::-1]
        units = [*(point.units for point in points), candidate.site.units]
        losses = _falling([*(point.loss for point in points), 0.0])
        steps = numpy.arange(len(candidate.keys) + 1) * candidate.size
        return candidate.losing(numpy.interp(steps, units, losses).tolist(), price)

    def kept(self, pool: Pool, limit: Fraction, decided: Mapping[str, int]) -> dict[str, int]:
        """The best of all splits on the grid of points and bins.

        Raises:
            PrunusError: the budget asks for less than was measured.
        """
        known = {name: self._known(own) for name, own in pool.candidates.items()}
        least = pool.cost({**decided, **{name: own.least for name, own in known.items()}})
        if least > limit:
            name, own = max(known.items(), key=lambda one: one[1].least / one[1].site.units)
            raise PrunusError(
                f"select: measured: the fewest units that were measured cost {float(least):,.0f}"
                f" {pool.cost.metric}, the budget allows {float(limit):,.0f}; of {name!r}, nothing"
                f" below {own.least} of {own.site.units} units was measured: go on measuring, with"
                " more minutes or lower densities"
            )
        return super().kept(replace(pool, candidates=known), limit, decided)

    def _known(self, candidate: Candidate) -> Candidate:
        """A candidate that keeps as many units as were measured at the least."""
        fewest = self._curve(candidate.site).points[-1].units
        least = -(-fewest // candidate.size) * candidate.size
        return replace(candidate, least=min(max(candidate.least, least), candidate.most))

    def _curve(self, site: Site) -> SiteCurve:
        return self._measured.of(site.name, site.kind, site.units)


def _falling(losses: list[float]) -> numpy.ndarray:
    """The nearest losses that never rise, in the sense of least squares."""
    from scipy.optimize import isotonic_regression  # slow to import

    return isotonic_regression(losses, increasing=False).x
