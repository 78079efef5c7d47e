"""Bounds as people write them."""

from typing import Any

from pydantic import PositiveFloat

from prunus.registry import Part, parse
from prunus.select._amounts import Points, Size
from prunus.study._wanted import Wanted


class Asked(Part):
    """Bounds with their units.

    Attributes:
        max_loss: ``1pt``.
        speedup: above 0.
        max_bytes: ``50MB``.
    """

    max_loss: Points | None = None
    speedup: PositiveFloat | None = None
    max_bytes: Size | None = None


def asked(**said: Any) -> Wanted:
    """The bounds that words say; None is no bound.

    Args:
        **said: see :class:`Asked`.

    Raises:
        PrunusError: one of them says nothing.
    """
    found = parse(Asked, "", said)
    return Wanted(found.max_loss, found.speedup, found.max_bytes)
