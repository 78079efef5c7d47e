"""Activations that are computed again in the backward pass rather than kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prunus.errors import PrunusError


@contextmanager
def recomputed(model: Any, asked: bool) -> Iterator[None]:
    """While the block runs, a model keeps no activations within its layers, if that is asked for.

    Raises:
        PrunusError: this class of models cannot do that.
    """
    if not asked:
        yield
        return
    if not model.supports_gradient_checkpointing:
        raise PrunusError(
            f"training.gradient_checkpointing: a {type(model).__name__} cannot compute activations"
            " again; leave it out, and say more gradient_accumulation_steps"
        )
    _switch(model, "enable", {"use_reentrant": False})
    try:
        yield
    finally:
        _switch(model, "disable")


def _switch(model: Any, way: str, *given: dict[str, Any]) -> None:
    """By the name that this transformers has for it."""
    new, old = (f"{what}_checkpointing_{way}" for what in ("activation", "gradient"))
    getattr(model, new if hasattr(model, new) else old)(*given)
