"""Amounts with their units, as people write them: ``50MB``, ``48MiB``, ``1pt``."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from prunus.errors import PrunusError

STEPS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def _size(value: Any) -> int:
    """Bytes: a whole number of them, or a number with a unit; MB is 1000 kB, MiB is 1024 KiB."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B\s*", str(value), re.IGNORECASE)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if found is None or (found[3] and not found[2]):
        raise PrunusError(
            f"{value!r} is no size: write 50MB (50,000,000 bytes) or 48MiB (50,331,648 bytes)"
        )
    size = int(float(found[1]) * (1024 if found[3] else 1000) ** STEPS[found[2].upper()])
    if not size:
        raise PrunusError(f"{value!r} is no size: a model takes more than nothing")
    return size


def _points(value: Any) -> float:
    """Points of a metric in percent, always with their unit: 0.01 could be meant as a fraction."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:pts?|points?)\s*", value)
        if found is not None:
            return float(found[1])
    raise PrunusError(
        f"{value!r} is no loss: write 1pt or 0.5pt, points of the metric, which is in percent: from"
        " 90 % to 89 % is one point"
    )


def told_points(value: float) -> str:
    """Points as they are written in a recipe."""
    return f"{value:.10g}pt"


Size = Annotated[int, BeforeValidator(_size)]
"""Bytes."""

Points = Annotated[float, BeforeValidator(_points), PlainSerializer(told_points)]
"""Points of a metric in percent."""
