"""Selection among very many units whose costs do not depend on each other: tensors, no lists.

What stays is all above one threshold, as far as floors and ceilings let it, so that only the
threshold need be found: a sample says between which two values it lies, and the units between them
are sorted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor, inf
from typing import Any

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.select._budget import Budget, Rule
from prunus.select._pool import SLACK, Pool, bounds
from prunus.select._runs import Runs
from prunus.site import Site

FEW = 2**17
"""So many units are sorted at once, without a sample before."""
MARGIN = 0.01
"""How far from the threshold of a sample, as a fraction of all units, that of all is looked for."""


@dataclass(frozen=True)
class Units:
    """The units of one site, to be kept or not.

    Attributes:
        keys: [unit] what each is worth keeping for.
        size: what one costs.
        least: how many must stay.
        most: how many may.
    """

    keys: Tensor
    size: int
    least: int
    most: int

    def clipped(self, count: int) -> int:
        """A count within the bounds."""
        return min(max(count, self.least), self.most)


@dataclass(frozen=True)
class Blocks:
    """A site's units as they come and go: each by itself, or what is low in each run.

    Attributes:
        site: the site.
        keys: [unit or run] what each is worth keeping for.
        least: how many of the site's units must stay.
        most: how many may.
        runs: the runs, where the site has such.
    """

    site: Site
    keys: Tensor
    least: int
    most: int
    runs: Runs | None = None

    @property
    def base(self) -> int:
        """How many units stay in any case, as their runs ask."""
        return 0 if self.runs is None else int((~self.runs.low).sum())

    @property
    def step(self) -> int:
        """How many units come and go together."""
        return 1 if self.runs is None else self.runs.m - self.runs.n

    def units(self, price: int) -> Units:
        """What may come and go, each unit at a price."""
        bounds = (-(-(self.least - self.base) // self.step), (self.most - self.base) // self.step)
        return Units(self.keys, price * self.step, *bounds)

    def mask(self, stays: Tensor) -> Tensor:
        """[*grid] bool of what stays of the keys."""
        return stays.reshape(self.site.shape) if self.runs is None else self.runs.mask(stays)


def blocks(site: Site, scores: Tensor, price: float, budget: Budget, rule: Rule | None) -> Blocks:
    """A site's units, where each costs the same; as :func:`prunus.select._pool.candidate`.

    Raises:
        PrunusError: the floor is above the ceiling, or the ceiling below what the pattern leaves.
    """
    runs = Runs.of(site, scores) if site.among else None
    keys = (scores.flatten() if runs is None else runs.keys) / price
    low, high = bounds(site, budget, rule)
    found = Blocks(site, keys, 0, site.units, runs)
    least = max(site.least, ceil(low * site.units - SLACK), found.base)
    most = floor(high * site.units + SLACK)
    if most < found.base:
        raise PrunusError(
            f"site {site.name!r}: {site.among[0]} of {site.among[1]} always stay, which is above"
            f" the ceiling {high}; raise the ceiling"
        )
    return replace(found, least=least, most=max(least, most))


def keep(pool: Pool, limit: Fraction, decided: Mapping[str, int]) -> dict[str, Tensor]:
    """[*grid] masks: the best units whose cost is within a limit, and all that still fits."""
    candidates: Any = pool.candidates
    bare = {name: found.base for name, found in candidates.items()}
    left = int(limit - pool.cost({**decided, **bare}))
    units = [found.units(int(pool.cost.price(name))) for name, found in candidates.items()]
    stays = best(units, left)
    return {name: f.mask(own) for (name, f), own in zip(candidates.items(), stays, strict=True)}


def best(pool: Sequence[Units], limit: int) -> list[Tensor]:
    """[unit] bool for every site: the best units whose cost is within the limit, and all that fits.

    Args:
        pool: the sites; their ``least`` units are within the limit.
        limit: of the summed cost.
    """
    found = next(b for b in _narrowed(pool, limit) if b.holds(limit))
    counts, left = found.admitted(limit)
    for place, units in enumerate(pool):
        more = min(left // units.size, units.most - counts[place])
        counts[place], left = counts[place] + more, left - more * units.size
    return [found.mask(place, count) for place, count in enumerate(counts)]


def _narrowed(pool: Sequence[Units], limit: int) -> Iterator["Between"]:
    """Wider and wider bounds for the threshold."""
    total = sum(len(units.keys) for units in pool)
    if total > FEW:
        yield Between(pool, *_guessed(pool, limit, FEW / total))
    yield Between(pool, -inf, inf)


def _guessed(pool: Sequence[Units], limit: int, share: float) -> tuple[float, float]:
    """Two thresholds, probably on both sides of the right one: those of a sample, and a margin."""
    generator = torch.Generator().manual_seed(0)
    sampled = []
    for units in pool:
        drawn = torch.randint(
            len(units.keys), (round(len(units.keys) * share),), generator=generator
        )
        keys = units.keys[drawn.to(units.keys.device)].sort().values
        sampled.append(
            Units(keys, units.size, round(units.least * share), round(units.most * share))
        )
    values = torch.cat([units.keys.double() for units in sampled]).sort().values
    margin = int(MARGIN * len(values))
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        cost = sum(
            u.clipped(len(u.keys) - int(torch.searchsorted(u.keys, values[middle], right=True)))
            * u.size
            for u in sampled
        )  # fmt: skip
        low, high = (low, middle) if cost <= limit * share else (middle + 1, high)
    edges = low - margin, low + margin
    return (
        float(values[edges[0]]) if edges[0] >= 0 else -inf,
        float(values[edges[1]]) if edges[1] < len(values) else inf,
    )


@dataclass
class Between:
    """The units of a pool whose keys are above ``low`` and not above ``high``.

    Attributes:
        above: for each site, [unit] which are above both.
        inside: for each site, the indices of those between.
    """

    pool: Sequence[Units]
    low: float
    high: float
    above: list[Tensor] = field(init=False)
    inside: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        """Look at every unit once."""
        self.above = [units.keys > self.high for units in self.pool]
        self.inside = [
            ((units.keys > self.low) ^ above).nonzero()[:, 0]
            for units, above in zip(self.pool, self.above, strict=True)
        ]
        self._above = [int(above.sum()) for above in self.above]

    def holds(self, limit: int) -> bool:
        """Whether the threshold is here."""
        over = [a + len(inside) for a, inside in zip(self._above, self.inside, strict=True)]
        fits = self._cost(self._above) <= limit
        return fits and (self.low == -inf or self._cost(over) >= limit)

    def admitted(self, limit: int) -> tuple[list[int], int]:
        """(units that each site keeps, what is left): the best first, until one does not fit."""
        counts = self._clipped(self._above)
        left = limit - self._cost(self._above)
        site, rank = self._ranked()
        least, most, size = (
            torch.tensor([getattr(u, name) for u in self.pool], device=site.device)[site]
            for name in ("least", "most", "size")
        )
        free = (rank > least) & (rank <= most)
        spent = size[free].cumsum(0)
        fits = int((spent <= left).sum())
        taken = site[free][:fits].bincount(minlength=len(self.pool)).tolist()
        left -= int(spent[fits - 1]) if fits else 0
        return list(map(sum, zip(counts, taken, strict=True))), left

    def mask(self, place: int, count: int) -> Tensor:
        """[unit] bool: the best ``count`` units of a site."""
        keys, stays, inside = self.pool[place].keys, self.above[place], self.inside[place]
        more = count - self._above[place]
        if 0 <= more <= len(inside):
            best = keys[inside].argsort(descending=True, stable=True)[:more]
            return stays.index_fill(0, inside[best], value=True)
        best = keys.argsort(descending=True, stable=True)[:count]
        return torch.zeros_like(stays).index_fill(0, best, value=True)

    def _ranked(self) -> tuple[Tensor, Tensor]:
        """(site, how many of the site are as good) of every unit between, the best first."""
        sites = [torch.full_like(found, place) for place, found in enumerate(self.inside)]
        keys = [u.keys[found].double() for u, found in zip(self.pool, self.inside, strict=True)]
        order = torch.cat(keys).argsort(descending=True, stable=True)
        site = torch.cat(sites)[order]
        rank = torch.empty_like(site)
        for place, above in enumerate(self._above):
            mine = (site == place).nonzero()[:, 0]
            rank[mine] = above + torch.arange(1, len(mine) + 1, device=site.device)
        return site, rank

    def _clipped(self, counts: Sequence[int]) -> list[int]:
        return [units.clipped(count) for units, count in zip(self.pool, counts, strict=True)]

    def _cost(self, counts: Sequence[int]) -> int:
        sizes = [units.size for units in self.pool]
        return sum(map(int.__mul__, self._clipped(counts), sizes))
