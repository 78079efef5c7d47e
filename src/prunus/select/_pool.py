"""One pool of units under one limit: what may go, in each site's order of merit, and exact fill."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import ceil, floor, gcd

import torch
from torch import Tensor

from prunus.curve import Curve
from prunus.errors import PrunusError
from prunus.select._budget import Budget, Rule
from prunus.select._cost import Cost
from prunus.site import Site

SLACK = 1e-9


@dataclass(frozen=True)
class Candidate:
    """Units of one site that come and go together, in the site's own order of merit.

    Attributes:
        site: the site.
        order: [step, units of a step] the best first.
        keys: [step] what each step is worth keeping for, the same order.
        losses: [steps + 1] the loss when 0, 1, 2 ... steps stay.
        least: how many units must stay.
        most: how many may.
    """

    site: Site
    order: Tensor
    keys: list[float]
    losses: list[float]
    least: int
    most: int

    @property
    def size(self) -> int:
        """Units in one step: more than one where runs must keep equal counts."""
        return self.order.shape[1]

    def loss_at(self, units: int) -> float:
        """The loss when the best ``units`` stay."""
        return self.losses[units // self.size]

    def losing(self, losses: list[float], price: float) -> "Candidate":
        """The same steps with other losses, as many as before; ``price`` is that of a unit."""
        each = price * self.size
        keys = [(less - more) / each if each else torch.inf for less, more in pairwise(losses)]
        return replace(self, losses=losses, keys=keys)

    def mask(self, units: int) -> Tensor:
        """The site's mask when its best ``units`` stay."""
        mask = torch.zeros(self.site.units, dtype=torch.bool)
        mask[self.order[: units // self.size].flatten()] = True
        return mask.reshape(self.site.shape)


@dataclass(frozen=True)
class Least:
    """All that a limit asks of a site: how many units must stay."""

    least: int


@dataclass(frozen=True)
class Pool:
    """Candidates under one limit.

    Attributes:
        names: all sites that the limit speaks of.
        candidates: those that are still to be decided.
        cost: the metric.
        aim: a factor on the limit.
    """

    names: list[str]
    candidates: dict[str, Candidate]
    cost: Cost
    aim: float = 1.0

    def limit(self, density: float, decided: Mapping[str, int], *, whole: bool) -> Fraction:
        """The cost that may stay, everything outside the pool included.

        Args:
            density: fraction of the cost of the pool (or of the ``whole`` model) that stays.
            decided: units kept by sites that were decided before.
            whole: whether the density is one of the whole model's cost.

        Raises:
            PrunusError: the sites cost nothing, or even the floors cost more than the limit.
        """
        share = Fraction(density).limit_denominator(10**9)
        if whole:
            found = share * self.cost({})
        else:
            others = {name: count for name, count in decided.items() if name not in self.names}
            bare = self.cost({**others, **dict.fromkeys(self.names, 0)})
            full = self.cost(others)
            if full == bare:
                raise PrunusError(
                    f"the sites of this budget cost nothing in metric {self.cost.metric!r}"
                    f" ({', '.join(self.names[:3])} ...); use metric: units"
                )
            found = bare + share * (full - bare)
        found *= Fraction(self.aim)
        floors = self.cost({**decided, **{name: c.least for name, c in self.candidates.items()}})
        if floors > found:
            raise PrunusError(
                f"density {density} allows {int(found):,} {self.cost.metric}, but the floors alone"
                f" (and what is decided or cannot be cut) cost {floors:,}: raise the density or"
                " lower the floors"
            )
        return found

    def most(self) -> dict[str, int]:
        """Everything that may stay."""
        return {name: candidate.most for name, candidate in self.candidates.items()}

    def removals(self) -> Tensor:
        """[steps that may go] the place of each one's candidate, the worst first."""
        places, ranks, keys = list[Tensor](), list[Tensor](), list[Tensor]()
        for place, c in enumerate(self.candidates.values()):
            own = torch.arange(c.least // c.size, c.most // c.size)
            places.append(torch.full_like(own, place))
            ranks.append(own)
            keys.append(torch.tensor(c.keys, dtype=torch.float64)[own])
        found, rank = torch.cat(places), torch.cat(ranks)
        order = rank.argsort(descending=True, stable=True)  # places ascend already
        return found[order[torch.cat(keys)[order].argsort(stable=True)]]

    def fill(self, kept: dict[str, int], decided: Mapping[str, int], limit: Fraction) -> None:
        """Put back, best first, whatever still fits."""
        slack = limit - self.cost({**decided, **kept})
        waiting = [
            self._next(place, name, kept[name]) for place, name in enumerate(self.candidates)
        ]
        heapify(waiting)
        while waiting:
            *_, place, name = heappop(waiting)
            candidate = self.candidates[name]
            if kept[name] == candidate.most:
                continue
            price = self.cost.step(name, {**decided, **kept}, candidate.size)
            if price <= slack:
                kept[name] += candidate.size
                slack -= price
                heappush(waiting, self._next(-place, name, kept[name]))

    def _next(self, place: int, name: str, units: int) -> tuple[float, int, int, str]:
        """What makes the next step of a site worth more than others: later sites where equal."""
        candidate = self.candidates[name]
        rank = units // candidate.size
        worth = candidate.keys[rank] if units < candidate.most else -torch.inf
        return -worth, rank, -place, name

    def masks(self, kept: Mapping[str, int]) -> dict[str, Tensor]:
        """[*grid] masks under which the best units of every site stay."""
        return {name: c.mask(kept[name]) for name, c in self.candidates.items()}


def candidate(
    site: Site, curve: Curve | Tensor, price: float, budget: Budget, rule: Rule | None
) -> Candidate:
    """A site's units in order of merit.

    Args:
        site: the site.
        curve: its curve of losses, or [*grid] scores.
        price: what one unit costs.
        budget: how much may stay.
        rule: the budget's rule for this site.
    """
    if isinstance(curve, Tensor):
        flat = curve.detach().double().cpu().flatten()
        order = _bundles(site, flat)
        worth = flat[order].sum(1)
    else:
        order = curve.order.flip(0)[:, None]
        worth = curve.loss.diff().flip(0)
    step = steps(site, budget)
    order, worth = order.reshape(-1, step * order.shape[1]), worth.reshape(-1, step).sum(1)
    size = order.shape[1]
    keys = worth / (price * size) if price else torch.full((len(order),), torch.inf)
    losses = torch.cat([worth.flip(0).cumsum(0).flip(0), worth.new_zeros(1)])
    least, most = extent(site, budget, rule)
    there = int((worth > -torch.inf).sum()) * size
    least, most = min(least, there), min(most, there)
    return Candidate(site, order, keys.tolist(), losses.tolist(), least, most)


def _bundles(site: Site, flat: Tensor) -> Tensor:
    """[step, units]: units in order of merit, the n-th best of every run in one step."""
    if site.even == 1:
        return flat.argsort(descending=True, stable=True)[:, None]
    runs = flat.reshape(-1, site.even)
    starts = torch.arange(len(runs)) * site.even
    return (runs.argsort(dim=1, descending=True, stable=True) + starts[:, None]).T


def steps(site: Site, budget: Budget) -> int:
    """How many of a run's units come and go together."""
    return gcd(site.run, budget.step(site.kind)) if site.removable else 1


def extent(site: Site, budget: Budget, rule: Rule | None) -> tuple[int, int]:
    """The fewest and the most of a site's units that may stay.

    Raises:
        PrunusError: the floor is above the ceiling, or the ceiling below what the pattern leaves.
    """
    low = rule.floor if rule and rule.floor is not None else budget.floor
    high = rule.ceiling if rule and rule.ceiling is not None else budget.ceiling
    if low > high:
        raise PrunusError(
            f"site {site.name!r}: the floor {low} is above the ceiling {high}; lower the one or"
            " raise the other"
        )
    step = steps(site, budget)
    size = site.units // site.run * step
    least = ceil(max(site.least / size, low * site.run / step - SLACK)) * size
    most = floor(high * site.run / step + SLACK) * size
    if site.among and most < site.least:
        raise PrunusError(
            f"site {site.name!r}: {site.among[0]} of {site.among[1]} always stay, which is above"
            f" the ceiling {high}; raise the ceiling"
        )
    return least, max(least, most)
