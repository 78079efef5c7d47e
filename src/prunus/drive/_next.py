"""Which measurement of a site tells most, given those that were made."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

Curve = Mapping[int, float]
"""{units that stay: loss}."""


def following(
    ladders: Mapping[str, Sequence[int]], known: Mapping[str, Curve], units: Mapping[str, int]
) -> tuple[str, int] | None:
    """The (site, units) to measure next; None where nothing is left.

    First every site in the middle, then at its lowest, below which nothing bounds its loss. Then
    where a curve that only rises is least certain: in the interval whose width, as a share of the
    site's units, times the rise of the loss across it is greatest (the sandwich algorithm, Burkard,
    Hamacher & Rote, 1991), in its middle.

    Args:
        ladders: what shall be measured of each site, the most units first.
        known: what was.
        units: how many each site has.
    """
    waiting = {
        name: left
        for name, steps in ladders.items()
        if (left := [step for step in steps if step not in known[name]])
    }
    for name in waiting:
        if not known[name]:
            return name, ladders[name][(len(ladders[name]) - 1) // 2]
    for name, left in waiting.items():
        if left[-1] < min(known[name]):
            return name, left[-1]
    gaps = [
        (_area(known[name], above, below, units[name]), name, above, below)
        for name, left in waiting.items()
        for above, below in pairwise(sorted({*known[name], units[name]}, reverse=True))
        if any(below < step < above for step in left)
    ]
    if not gaps:
        return None
    _, name, above, below = max(gaps, key=lambda gap: gap[0])
    inside = [step for step in waiting[name] if below < step < above]
    return name, min(inside, key=lambda step: abs(2 * step - above - below))


def _area(curve: Curve, above: int, below: int, units: int) -> float:
    """What a curve that only rises may differ by between two of its points."""
    rise = curve[below] - curve.get(above, 0.0)
    return max(rise, 0.0) * (above - below) / units
