"""The contract of a selector."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, ClassVar, Literal

from prunus.registry import Part
from prunus.select._pool import Candidate, Pool
from prunus.site import Site


class Selector(Part):
    """Decides how many units each site of a pool keeps; which ones follows from its criterion.

    Attributes:
        reads: what it wants of a criterion: a score a unit, or a site's whole curve of losses.
        fills: whether what still fits is put back afterwards, best first.
    """

    reads: ClassVar[Literal["scores", "curve"]] = "scores"
    fills: ClassVar[bool] = True

    def require(
        self, sites: Mapping[str, Site], score: dict[str, Any], weights: Callable[[], str]
    ) -> None:
        """Check, before anything is scored, that it can decide over some sites.

        Args:
            sites: whose units may go.
            score: the criterion, spelt out.
            weights: the hash of what the dense model computes.

        Raises:
            PrunusError: it cannot.
        """

    def judged(self, candidate: Candidate, price: float) -> Candidate:
        """A site's candidate as this selector sees it.

        Args:
            candidate: as the criterion judges its units.
            price: what one unit costs in the dense model.
        """
        del price
        return candidate

    def kept(self, pool: Pool, limit: Fraction, decided: Mapping[str, int]) -> dict[str, int]:
        """Units kept by each candidate of the pool, at a cost within the limit.

        Args:
            pool: what may go; even its floors were found to be within the limit.
            limit: the cost that may stay, everything outside the pool included.
            decided: units kept by sites outside the pool.
        """
        raise NotImplementedError
