"""Axes of plots: places of values, and round numbers beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, log10

TICKS = 5


@dataclass(frozen=True)
class Tick:
    """A number beside an axis."""

    at: float
    text: str


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The place of a value, ``low`` at ``start`` and ``high`` at ``end``."""
    return lambda value: start + (value - low) / ((high - low) or 1.0) * (end - start)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers that span an interval."""
    rough = (high - low) / TICKS or 1.0
    power = 10.0 ** floor(log10(rough))
    step = next(power * by for by in (1, 2, 5, 10) if power * by >= rough * 0.999)
    return [step * n for n in range(floor(low / step), -floor(-high / step) + 1)]
