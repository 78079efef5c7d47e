"""Axes of plots: places of values, and round numbers beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, log10

TICKS = 5
MOST = 7
DENSE = ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
"""Marks of a logarithmic axis within a decade, from many to few."""
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Tick:
    """A number beside an axis."""

    at: float
    text: str


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """The place of a value, ``low`` at ``start`` and ``high`` at ``end``."""
    return lambda value: start + (value - low) / ((high - low) or 1.0) * (end - start)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers that span an interval."""
    rough = (high - low) / TICKS or 1.0
    power = 10.0 ** floor(log10(rough))
    step = next(power * by for by in (1, 2, 5, 10) if power * by >= rough * 0.999)
    return [step * n for n in range(floor(low / step), -floor(-high / step) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Round numbers in an interval of positive ones, for a logarithmic axis."""
    powers = range(floor(log10(low)), floor(log10(high)) + 1)
    found: list[list[float]] = [
        [value for power in powers for by in series if low <= (value := by * 10.0**power) <= high]
        for series in DENSE
    ]
    return next((own for own in found if len(own) <= MOST), found[-1])
