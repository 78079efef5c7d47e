"""Selection among very many units whose costs do not depend on each other: tensors, no lists.

What stays is all above one threshold, as far as floors and ceilings let it, so that only the
threshold need be found: a sample says between which two values it lies, and the units between them
are sorted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf
from typing import Any

import torch
from torch import Tensor

from prunus.select._budget import Budget, Rule
from prunus.select._pool import Pool, extent
from prunus.select._runs import Runs, joined, runs_of
from prunus.site import Site

FEW = 2**17
"""So many units are sorted at once, without a sample before."""
MARGIN = 0.006
"""How far from the threshold of a sample, as a fraction of all units, that of all is looked for."""


@dataclass(frozen=True)
class Units:
    """The units of one site, to be kept or not.

    Attributes:
        keys: [unit] what each is worth keeping for; -inf where it is gone already.
        size: what one costs.
        least: how many must stay.
        most: how many may, of those that are there.
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
        keys: [unit] what each is worth keeping for; -inf is gone. Empty where there are runs.
        least: how many of the site's units must stay.
        most: how many may.
        runs: the runs of their full length, and those at the ends of rows, where there are such.
    """

    site: Site
    keys: Tensor
    least: int
    most: int
    runs: tuple[Runs, ...] = ()

    def units(self, price: int) -> list[Units]:
        """What may come and go, each unit at a price."""
        if not self.site.among:
            return [_units(self.keys, price, self.least, self.most)]
        least, most = self.least - self.site.least, self.most - self.site.least
        found = []
        for runs in self.runs:
            step, count = runs.step, runs.keys.numel()
            low, high = min(count, -(-max(0, least) // step)), min(count, most // step)
            found.append(_units(runs.keys.flatten(), price * step, low, high))
            least, most = least - low * step, most - count * step
        return found

    def mask(self, stays: Sequence[Tensor]) -> Tensor:
        """[*grid] bool of what stays, by what stays of each of :meth:`units`."""
        shape = self.site.shape
        return joined(self.site, self.runs, stays) if self.site.among else stays[0].reshape(shape)


def _units(keys: Tensor, size: int, least: int, most: int) -> Units:
    """Units of which those that are gone cannot stay."""
    there = int((keys > -inf).count_nonzero())
    return Units(keys, size, min(least, there), min(most, there))


def blocks(site: Site, scores: Tensor, price: float, budget: Budget, rule: Rule | None) -> Blocks:
    """A site's units, where each costs the same; as :func:`prunus.select._pool.candidate`.

    Raises:
        PrunusError: the floor is above the ceiling, or the ceiling below what the pattern leaves.
    """
    scores = scores if price == 1 else scores / price
    bounds = extent(site, budget, rule)
    if site.among:
        return Blocks(site, scores.new_empty(0), *bounds, runs_of(site, scores))
    return Blocks(site, scores.flatten(), *bounds)


def keep(pool: Pool, limit: Fraction, decided: Mapping[str, int]) -> dict[str, Tensor]:
    """[*grid] masks: the best units whose cost is within a limit, and all that still fits."""
    candidates: Any = pool.candidates
    always = {name: found.site.least for name, found in candidates.items() if found.runs}
    bare = {**dict.fromkeys(candidates, 0), **always}
    left = int(limit - pool.cost({**decided, **bare}))
    units = {name: f.units(int(pool.cost.price(name))) for name, f in candidates.items()}
    loose = [own for found in units.values() for own in found]
    stays = iter(best(loose, left) if loose else ())
    return {name: f.mask([next(stays) for _ in units[name]]) for name, f in candidates.items()}


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
    if sum(units.most * units.size for units in pool) <= limit:
        yield Between(pool, -inf, -inf)
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
    """The units of a pool whose keys are neither below ``low`` nor above ``high``, nor gone.

    Attributes:
        above: for each site, [unit] which are above both.
        inside: for each site, the indices of those between, the best first.
    """

    pool: Sequence[Units]
    low: float
    high: float
    above: list[Tensor] = field(init=False)
    inside: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        """Look at every unit once."""
        not_below = torch.gt if self.low == -inf else torch.ge
        self.above = [units.keys > self.high for units in self.pool]
        self._above = [int(above.count_nonzero()) for above in self.above]
        self.inside, self._keys = [], []
        for units, above in zip(self.pool, self.above, strict=True):
            found = not_below(units.keys, self.low).logical_xor_(above).nonzero()[:, 0]
            keys, order = units.keys[found].sort(descending=True, stable=True)
            self.inside.append(found[order])
            self._keys.append(keys)

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
        fits = int((spent <= left).count_nonzero())
        taken = site[free][:fits].bincount(minlength=len(self.pool)).tolist()
        left -= int(spent[fits - 1]) if fits else 0
        return list(map(sum, zip(counts, taken, strict=True))), left

    def mask(self, place: int, count: int) -> Tensor:
        """[unit] bool: the best ``count`` units of a site."""
        keys, stays, inside = self.pool[place].keys, self.above[place], self.inside[place]
        more = count - self._above[place]
        if 0 <= more <= len(inside):
            return stays.index_fill(0, inside[:more], value=True)
        best = keys.argsort(descending=True, stable=True)[:count]
        return torch.zeros_like(stays).index_fill(0, best, value=True)

    def _ranked(self) -> tuple[Tensor, Tensor]:
        """(site, how many of the site are as good) of every unit between, the best first."""
        device = self._keys[0].device
        counts = torch.tensor([len(keys) for keys in self._keys], device=device)
        site = torch.arange(len(counts), device=device).repeat_interleave(counts)
        first = torch.tensor(self._above, device=device) - (counts.cumsum(0) - counts)
        rank = first[site] + torch.arange(1, len(site) + 1, device=device)
        keys = torch.cat([keys.double() for keys in self._keys])
        order = keys.argsort(descending=True, stable=True)
        return site[order], rank[order]

    def _clipped(self, counts: Sequence[int]) -> list[int]:
        return [units.clipped(count) for units, count in zip(self.pool, counts, strict=True)]

    def _cost(self, counts: Sequence[int]) -> int:
        sizes = [units.size for units in self.pool]
        return sum(map(int.__mul__, self._clipped(counts), sizes))
