"""Attention that shows its maps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from prunus.errors import PrunusError


@contextmanager
def eager(model: nn.Module) -> Iterator[None]:
    """Attention in its ``eager`` implementation, the only one that gives maps, for a block's time.

    Raises:
        PrunusError: the model computes its layers again in the backward pass, which comes later.
    """
    owners = [module for module in model.modules() if hasattr(module, "config")]
    before = {id(own.config): (own.config, _implementation(own.config)) for own in owners}
    changed: list[Any] = [config for config, name in before.values() if name not in (None, "eager")]
    again = any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    if changed and again and torch.is_grad_enabled():
        raise PrunusError(
            "loss: attention: with gradient checkpointing the model must have attention maps from"
            ' the start; call model.set_attn_implementation("eager")'
        )
    try:
        for config in changed:
            config._attn_implementation_internal = "eager"
        yield
    finally:
        for config in changed:
            config._attn_implementation_internal = before[id(config)][1]


def _implementation(config: Any) -> str | None:
    return getattr(config, "_attn_implementation", None)
