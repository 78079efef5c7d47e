"""One unit at a time, everything that is left scored again in between."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from prunus.curve import Curve
from prunus.drive._drive import Drive, mended
from prunus.drive._job import Found, Job
from prunus.drive._kept import known
from prunus.edit import mask
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.safe import Kept
from prunus.select import Selector, select
from prunus.select._pool import Pool
from prunus.tracking import chosen, tell

ROUND = "round"


class Iterative(Drive):
    """Score, drop the unit with the least score for its cost, and again, until the rest fits.

    Every scoring pass sees the model without what went before: the second stage of 2SSP (Sandri et
    al., TMLR 2025, arXiv 2501.17771). At the end, units that still fit are put back, the last to go
    first, and what stays is mended once, bottom-up. The job's selector is not asked. It is meant
    for sites with few units: there is a pass for every unit that goes.
    """

    def run(self, job: Job) -> Plan:
        """Drop units one by one, then recover.

        Raises:
            PrunusError: channels, which cannot be masked twice at a norm.
        """
        for site in job.sites.values():
            if site.norms:
                raise PrunusError(
                    f"site {site.name!r}: {site.kind} cannot go one by one; use drive: oneshot"
                )
        known(job)
        left, seen = Left(job), (job.evidence, job.found)
        left.begin()
        while left.drop(left.fewer()):
            if left.fewer() != left.plan:
                job.step("drop", len(left.gone), sum(site.units for site in job.sites.values()))
                left.score()
                job.safe.put(ROUND, left.pack())
        job.evidence, job.found = seen
        return mended(job, left.refilled())


@dataclass
class Left:
    """What is left of a job's sites, and in which order the rest went.

    Attributes:
        job: the job.
        plan: what is left.
        scores: {site: [*grid]} when last looked at.
        went: {site: [*grid]} the number of each unit in the order of going, from 1; 0 = it stays.
        gone: sites of the units that went, in order.
    """

    job: Job
    plan: Plan = field(init=False)
    scores: dict[str, Tensor] = field(init=False, default_factory=dict)
    went: dict[str, Tensor] = field(init=False)
    gone: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Everything is left."""
        sites = self.job.sites
        self.plan = Plan.dense(sites)
        self.went = {name: torch.zeros(site.shape).double() for name, site in sites.items()}

    def begin(self) -> None:
        """Go on after the last round that was kept, or with the dense model's scores."""
        kept = self.job.safe.get(ROUND)
        if kept is None:
            self._look(self.job.found)
            return
        self.gone = list(kept.said)
        self.plan = Plan(kept.under("plan/"))
        self.scores, self.went = kept.under("scores/"), kept.under("went/")

    def pack(self) -> Kept:
        """What the next round begins with."""
        parts = {"plan": self.plan, "scores": self.scores, "went": self.went}
        return Kept(
            self.gone,
            {f"{key}/{name}": own for key, part in parts.items() for name, own in part.items()},
        )

    def score(self) -> None:
        """Score what is left in the student without the rest."""
        masked = {name: stays for name, stays in self.plan.items() if not stays.all()}
        empty = Plan({name: stays for name, stays in masked.items() if not stays.any()})
        with mask(self.job.student, self.job.sites, masked):
            found = self.job.score(empty)
        self._look(found)

    def _look(self, found: Found) -> None:
        for name, own in found.items():
            scores = own.scores if isinstance(own, Curve) else own
            self.scores[name] = scores.double().cpu().reshape(self.job.sites[name].shape)

    def fewer(self) -> Plan:
        """The plan without the next unit to go; the same one where nothing has to."""
        return self._selected(Fewer(now=self.plan.counts()))

    def drop(self, plan: Plan) -> bool:
        """Go on to a plan with less; whether it is less."""
        lost = plan.diff(self.plan)
        for name, (_, units) in lost.items():
            self.gone += [name] * len(units)
            self.went[name].view(-1)[units] = len(self.gone)
        self.plan = plan
        tell(partial(chosen, plan, self.job.sites))
        return bool(lost)

    def refilled(self) -> Plan:
        """The plan with what still fits, the last to go first."""
        return self._selected(Refill(now=self.plan.counts(), gone=tuple(self.gone)))

    def _selected(self, selector: Selector) -> Plan:
        job, scores = self.job, {name: self._ranked(name) for name in self.plan}
        with job.phase("select"):
            return select(
                scores, job.sites, job.budget, job.cost,
                per_cost=job.criterion.adds_up, selector=selector,
            ).agreed()  # fmt: skip

    def _ranked(self, name: str) -> Tensor:
        """[*grid] a site's scores, with what went below what stays, the first to go lowest."""
        scores, stays = self.scores[name], self.plan[name]
        if stays.all():
            return scores
        low = float(scores[stays].min()) if stays.any() else 0.0
        age = len(self.gone) - self.went[name] + 1
        return torch.where(stays, scores, low - age * max(1.0, abs(low)))


class Fewer(Selector):
    """What is there, without the worst step that may go, if it costs too much.

    Attributes:
        now: units of every site that are there.
    """

    fills: ClassVar[bool] = False
    now: Mapping[str, int]

    def kept(self, pool: Pool, limit: Fraction, decided: Mapping[str, int]) -> dict[str, int]:
        """One step less in the pool, or none."""
        left = self._there(pool)
        loose = {
            name: c.keys[left[name] // c.size - 1]
            for name, c in pool.candidates.items()
            if left[name] > c.least
        }
        if loose and pool.cost({**decided, **left}) > limit:
            worst = min(loose, key=loose.__getitem__)
            left[worst] -= pool.candidates[worst].size
        return left

    def _there(self, pool: Pool) -> dict[str, int]:
        """Units that are there and may be, in the sites of a pool."""
        return {name: min(self.now[name], c.most) for name, c in pool.candidates.items()}


class Refill(Fewer):
    """What is there, and whatever fits of what went.

    Attributes:
        now: units of every site that are there.
        gone: sites of the units that went, in order.
    """

    gone: tuple[str, ...]

    def kept(self, pool: Pool, limit: Fraction, decided: Mapping[str, int]) -> dict[str, int]:
        """As many units as fit, the last to go first."""
        left = self._there(pool)
        for name in reversed([name for name in self.gone if name in pool.candidates]):
            candidate = pool.candidates[name]
            more = {**left, name: left[name] + candidate.size}
            if more[name] <= candidate.most and pool.cost({**decided, **more}) <= limit:
                left = more
        return left
