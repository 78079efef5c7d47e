"""The best split of a budget between two kinds of units (Kwon et al., arXiv 2204.09656)."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import torch

from prunus.errors import PrunusError
from prunus.select._pool import Pool
from prunus.select._selector import Selector


class Knapsack(Selector):
    """Keeps the units with the greatest sum of scores, where units cost one of two amounts.

    For every number of units of the one cost (heads), as many of the other (neurons) as still fit,
    each time the best of all sites: algorithm 1 of the paper, and exact. Scores are not divided by
    cost.
    """

    def kept(self, pool: Pool, limit: Fraction, decided: Mapping[str, int]) -> dict[str, int]:
        """The best split.

        Raises:
            PrunusError: units cost more than two different amounts, or those of a site unlike
                amounts, or amounts that depend on another site.
        """
        kept = {name: candidate.least for name, candidate in pool.candidates.items()}
        left = limit - pool.cost({**decided, **kept})
        few, many = _kinds(pool)

        def worth(count: int) -> float:
            return few.worth[count] + many.worth[many.room(left - count * few.price)]

        count = max(range(few.room(left) + 1), key=worth)
        others = many.room(left - count * few.price)
        for name in few.steps[:count] + many.steps[:others]:
            kept[name] += pool.candidates[name].size
        return kept


@dataclass(frozen=True)
class _Kind:
    """Steps that cost the same.

    Attributes:
        price: what each of them costs.
        steps: the site of each that may go, the best first.
        worth: [steps + 1] what the best 0, 1, 2 ... are worth together.
    """

    price: Fraction
    steps: list[str]
    worth: list[float]

    def room(self, left: Fraction) -> int:
        """How many fit."""
        return min(len(self.steps), int(left // self.price)) if self.price else len(self.steps)


def _kinds(pool: Pool) -> list[_Kind]:
    """The two kinds of steps, the fewer first; one may be empty."""
    found: dict[Fraction, list[str]] = defaultdict(list)
    for name, candidate in pool.candidates.items():
        if candidate.least < candidate.most:
            found[_price(pool, name)].append(name)
    if len(found) > 2:
        costs = ", ".join(f"{float(price):,.0f} ({sites[0]})" for price, sites in found.items())
        raise PrunusError(
            f"select: knapsack splits a budget between units of two costs; in"
            f" {pool.cost.metric} these cost {costs}: name fewer kinds of sites, or use"
            " select: curves"
        )
    kinds = [_kind(pool, price, names) for price, names in found.items()]
    none = _Kind(Fraction(1), [], [0.0])
    return sorted([*kinds, none, none][:2], key=lambda kind: len(kind.steps))


def _kind(pool: Pool, price: Fraction, names: list[str]) -> _Kind:
    ranked: list[tuple[float, str, float]] = []
    for name in names:
        c = pool.candidates[name]
        steps = range(c.least // c.size, c.most // c.size)
        ranked += [(c.keys[at], name, c.losses[at] - c.losses[at + 1]) for at in steps]
    ranked.sort(key=lambda step: -step[0])
    worth = torch.tensor([0.0, *(own for *_, own in ranked)], dtype=torch.float64).cumsum(0)
    return _Kind(price, [name for _, name, _ in ranked], worth.tolist())


def _price(pool: Pool, name: str) -> Fraction:
    """What each step of a site costs."""
    c = pool.candidates[name]
    alone = pool.cost.alone(name)
    costs = [alone[count] for count in range(c.least, c.most + 1, c.size)]
    prices = {after - before for before, after in pairwise(costs)}
    if len(prices) > 1:
        raise PrunusError(
            f"select: knapsack needs units that cost the same; in {pool.cost.metric} those of"
            f" {name!r} cost {float(min(prices)):g} to {float(max(prices)):g}: use select: curves"
        )
    return prices.pop()
