"""The lowest density whose loss is bounded: bisection, with the noise of measurements in mind."""

from collections.abc import Callable, Mapping, Sequence
from math import inf

from prunus.task import Difference


def bisect(
    densities: Sequence[float],
    measure: Callable[[float], Difference],
    most_loss: float,
    evaluations: int,
) -> dict[float, Difference]:
    """Everything that was measured on the way to the lowest density that loses little enough.

    Losses are taken to fall as densities rise, but for noise. So the gap between the lowest density
    that met the bound and the next below that missed it is halved until it is closed. A miss by
    less than its 95 % interval may be chance: then the search goes on below it.

    Args:
        densities: what may be tried, rising.
        measure: how far the model of a density is ahead of the dense one, in points.
        most_loss: how many points it may be behind.
        evaluations: how often is measured at most.

    Returns:
        {density: what was measured}, in the order of measuring.
    """
    tried: dict[float, Difference] = {}
    while len(tried) < evaluations:
        density = _next(densities, tried, most_loss)
        if density is None:
            break
        tried[density] = measure(density)
    return tried


def met(found: Difference, most_loss: float) -> bool:
    """Whether a model loses little enough, as it was measured; rounding is forgiven."""
    return found.value >= -most_loss - 1e-9


def lowest(tried: Mapping[float, Difference], most_loss: float) -> float | None:
    """The lowest density that met the bound."""
    return min((d for d, found in tried.items() if met(found, most_loss)), default=None)


def _next(
    densities: Sequence[float], tried: Mapping[float, Difference], most_loss: float
) -> float | None:
    """The middle of what is untried in the gap; None where the answer is known."""
    best = lowest(tried, most_loss)
    top = inf if best is None else best
    for low in [*sorted((d for d in tried if d < top), reverse=True), -inf]:
        gap = [d for d in densities if low < d < top and d not in tried]
        if gap:
            return gap[len(gap) // 2]
        if low in tried and tried[low].value + tried[low].margin < -most_loss:
            return None
    return None
