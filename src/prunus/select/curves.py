"""The split of a budget that loses least: a dynamic program over the sites' curves of losses."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from prunus.errors import PrunusError
from prunus.select._pool import Pool
from prunus.select._selector import Selector


class Curves(Selector):
    """Minimises the sum of the sites' losses; a whole sublayer may go, and costs may jump.

    Needs sites whose costs do not depend on each other (heads, neurons).

    Attributes:
        bins: parts into which the budget is divided.
        points: at most so many points of each curve are tried; what is left is then filled.
    """

    reads: ClassVar[Literal["scores", "curve"]] = "curve"
    bins: PositiveInt = 1500
    points: PositiveInt = 96

    def kept(self, pool: Pool, limit: Fraction, decided: Mapping[str, int]) -> dict[str, int]:
        """The best of all splits on the grid of points and bins."""
        losses, costs, counts = {}, {}, {}
        for name, candidate in pool.candidates.items():
            alone = pool.cost.alone(name)
            counts[name] = _thinned(candidate.least, candidate.most, candidate.size, self.points)
            losses[name] = [candidate.loss_at(count) for count in counts[name]]
            costs[name] = [alone[count] for count in counts[name]]
        bare = {**decided, **dict.fromkeys(pool.candidates, 0)}
        left = limit - pool.cost(bare)
        best = spread(losses, costs, left, self.bins)
        return {name: counts[name][index] for name, index in best.items()}


def spread(
    losses: Mapping[str, Sequence[float]],
    costs: Mapping[str, Sequence[Fraction | int]],
    limit: Fraction | int,
    bins: int = 1500,
) -> dict[str, int]:
    """Choose one point of every curve: the least summed loss whose summed cost is within a limit.

    Exact where costs have a common measure that goes into the limit no more often than there are
    bins; elsewhere costs are rounded up to a bin, so that the limit always holds.

    Args:
        losses: for each curve, the loss of its points.
        costs: for each curve, the cost of the same points.
        limit: of the summed cost.
        bins: parts into which the limit is divided.

    Returns:
        {curve: index of the point}.

    Raises:
        PrunusError: even the cheapest points cost more.
    """
    floors = {name: min(own) for name, own in costs.items()}
    room = Fraction(limit) - sum(floors.values())
    if room < 0:
        raise PrunusError(f"the cheapest points together cost more than the limit {float(limit):g}")
    bins = _measured([cost - floors[name] for name in costs for cost in costs[name]], room, bins)
    best, picks = torch.zeros(bins + 1, dtype=torch.float64), []
    for name, own in costs.items():
        steps = [_bin(cost - floors[name], room, bins) for cost in own]
        table = torch.stack(
            [_shifted(best, step) + loss for step, loss in zip(steps, losses[name], strict=True)]
        )
        best, pick = table.min(0)
        picks.append((name, steps, pick))
    found, place = {}, bins
    for name, steps, pick in reversed(picks):
        found[name] = int(pick[place])
        place -= steps[found[name]]
    return {name: found[name] for name in costs}


def _measured(costs: Sequence[Fraction | int], room: Fraction, bins: int) -> int:
    """How often the common measure of all costs goes into the room, if that is within ``bins``."""
    scale = lcm(*(Fraction(cost).denominator for cost in costs))
    measure = Fraction(gcd(*(int(cost * scale) for cost in costs)), scale)
    count = room // measure if measure else 0
    return int(count) if 0 < count <= bins else bins


def _bin(cost: Fraction | int, room: Fraction, bins: int) -> int:
    """The bins that a cost takes; one more than there are where it cannot fit."""
    if cost > room:
        return bins + 1
    return -(-cost * bins // room) if room else 0


def _shifted(best: Tensor, step: int) -> Tensor:
    """``best`` when a step is spent first: out[b] = best[b - step]."""
    moved = torch.full_like(best, torch.inf)
    if step < len(best):
        moved[step:] = best[: len(best) - step]
    return moved


def _thinned(least: int, most: int, size: int, points: int) -> list[int]:
    """Counts from ``least`` to ``most``: all of them, or evenly so many, both ends included."""
    steps = (most - least) // size
    if steps < points:
        return list(range(least, most + 1, size))
    places = torch.linspace(0, steps, points, dtype=torch.float64).round().long().unique()
    return [least + int(place) * size for place in places]
