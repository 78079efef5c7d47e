"""Activations that are computed again in the backward pass rather than kept."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

from prunus.errors import PrunusError


@contextmanager
def recomputed(model: PreTrainedModel, asked: bool) -> Iterator[None]:
    """While the block runs, a model keeps no activations within its layers, if that is asked for.

    Raises:
        PrunusError: this class of models cannot do that.
    """
    if not asked:
        yield
        return
    try:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    except ValueError:
        raise PrunusError(
            f"training.gradient_checkpointing: a {type(model).__name__} cannot compute activations"
            " again; leave it out, and say more gradient_accumulation_steps"
        ) from None
    try:
        yield
    finally:
        model.gradient_checkpointing_disable()
