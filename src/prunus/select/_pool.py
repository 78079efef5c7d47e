"""One pool of units under one limit: greedy removal, then exact fill."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.select._budget import Budget, Rule
from prunus.select.cost import Cost
from prunus.site import Site

SLACK = 1e-9


@dataclass(frozen=True)
class Candidate:
    """Units of one site that come and go together, in the site's own order of merit."""

    site: Site
    order: Tensor
    keys: list[float]
    least: int
    most: int

    @property
    def size(self) -> int:
        """Units in one step: more than one where runs must keep equal counts."""
        return self.order.shape[1]

    def mask(self, units: int) -> Tensor:
        """The site's mask when its best ``units`` stay."""
        mask = torch.zeros(self.site.units, dtype=torch.bool)
        mask[self.order[: units // self.size].flatten()] = True
        return mask.reshape(self.site.shape)


@dataclass(frozen=True)
class Pool:
    """Candidates under one limit; ``names`` are all sites that the limit speaks of."""

    names: list[str]
    candidates: dict[str, Candidate]
    cost: Cost

    @classmethod
    def of(
        cls,
        names: list[str],
        free: Mapping[str, Site],
        scores: Mapping[str, Tensor],
        budget: Budget,
        rules: Mapping[str, Rule | None],
        cost: Cost,
        *,
        per_cost: bool,
    ) -> "Pool":
        """Rank the units of the sites of ``names`` that are still ``free``."""
        found = {}
        for name in names:
            if name in free:
                price = float(cost.step(name, {}, -1)) * -1 if per_cost else 1.0
                found[name] = _candidate(free[name], scores[name], price, budget, rules[name])
        return cls(names, found, cost)

    def fill(self, density: float, decided: Mapping[str, int], *, whole: bool) -> Plan:
        """Keep the best units that the limit admits.

        Args:
            density: fraction of the cost of the pool (or of the ``whole`` model) that stays.
            decided: units kept by sites that were decided before.
            whole: whether the density is one of the whole model's cost.

        Raises:
            PrunusError: even the floors cost more than the limit.
        """
        if not self.candidates:
            return Plan()
        limit = self._limit(density, decided, whole=whole)
        kept = {name: c.most for name, c in self.candidates.items()}
        steps = self._removals()
        gone = self._fewest(steps, kept, decided, limit, density)
        for name in steps[:gone]:
            kept[name] -= self.candidates[name].size
        self._put_back(steps[:gone], kept, decided, limit)
        return Plan({name: c.mask(kept[name]) for name, c in self.candidates.items()})

    def _limit(self, density: float, decided: Mapping[str, int], *, whole: bool) -> Fraction:
        """The cost that may stay, everything outside the pool included."""
        share = Fraction(density).limit_denominator(10**9)
        if whole:
            return share * self.cost({})
        others = {name: count for name, count in decided.items() if name not in self.names}
        bare = self.cost({**others, **dict.fromkeys(self.names, 0)})
        full = self.cost(others)
        if full == bare:
            raise PrunusError(
                f"the sites of this budget cost nothing in metric {self.cost.metric!r}"
                f" ({', '.join(self.names[:3])} ...); use metric: units"
            )
        return bare + share * (full - bare)

    def _removals(self) -> list[str]:
        """The site of each unit that may go, worst unit first."""
        found = []
        for place, (name, c) in enumerate(self.candidates.items()):
            for rank in range(c.least // c.size, c.most // c.size):
                found.append((c.keys[rank], -rank, place, name))
        return [name for *_, name in sorted(found)]

    def _fewest(
        self,
        steps: list[str],
        kept: dict[str, int],
        decided: Mapping[str, int],
        limit: Fraction,
        density: float,
    ) -> int:
        """How many removals bring the cost under the limit, by bisection: cost only falls."""

        def after(count: int) -> int:
            left = dict(kept)
            for name in steps[:count]:
                left[name] -= self.candidates[name].size
            return self.cost({**decided, **left})

        if after(len(steps)) > limit:
            raise PrunusError(
                f"density {density} allows {int(limit):,} {self.cost.metric}, but the floors alone"
                f" (and what is decided or cannot be cut) cost {after(len(steps)):,}: raise the"
                " density or lower the floors"
            )
        low, high = 0, len(steps)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if after(middle) <= limit else (middle + 1, high)
        return low

    def _put_back(
        self, gone: list[str], kept: dict[str, int], decided: Mapping[str, int], limit: Fraction
    ) -> None:
        slack = limit - self.cost({**decided, **kept})
        full: set[str] = set()
        for name in reversed(gone):
            if name in full:
                continue
            size = self.candidates[name].size
            price = self.cost.step(name, {**decided, **kept}, size)
            if price <= slack:
                kept[name] += size
                slack -= price
            else:
                full.add(name)


def _candidate(
    site: Site, score: Tensor, price: float, budget: Budget, rule: Rule | None
) -> Candidate:
    flat = score.detach().double().cpu().flatten()
    order = _bundles(site, flat)
    size = order.shape[1]
    keys = flat[order].sum(1) / (price * size) if price else torch.full((len(order),), torch.inf)
    low, high = _bounds(site, budget, rule)
    least = max(site.least, ceil(low * len(order) - SLACK) * size)
    most = max(least, floor(high * len(order) + SLACK) * size)
    return Candidate(site, order, keys.tolist(), least, most)


def _bundles(site: Site, flat: Tensor) -> Tensor:
    """[step, units]: units in order of merit, the n-th best of every run in one step."""
    if site.even == 1:
        return flat.argsort(descending=True, stable=True)[:, None]
    runs = flat.reshape(-1, site.even)
    starts = torch.arange(len(runs)) * site.even
    return (runs.argsort(dim=1, descending=True, stable=True) + starts[:, None]).T


def _bounds(site: Site, budget: Budget, rule: Rule | None) -> tuple[float, float]:
    low = rule.floor if rule and rule.floor is not None else budget.floor
    high = rule.ceiling if rule and rule.ceiling is not None else budget.ceiling
    if low > high:
        raise PrunusError(
            f"site {site.name!r}: the floor {low} is above the ceiling {high}; lower the one or"
            " raise the other"
        )
    return low, high
