"""Bounds as people write them."""

from typing import Any

from pydantic import PositiveFloat, ValidationError

from prunus.errors import PrunusError
from prunus.registry import Part, faults
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
    try:
        found = Asked.model_validate(said)
    except ValidationError as error:
        told = (f"{key}: {message}" for key, message in faults(Asked, error))
        raise PrunusError("\n".join(told)) from None
    return Wanted(found.max_loss, found.speedup, found.max_bytes)
