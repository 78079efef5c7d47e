"""An optimizer behind wrappers, and what a fused one does with scaled gradients by itself."""

from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from prunus.errors import PrunusError


def inner(optimizer: Any) -> Optimizer:
    """The optimizer itself, which wrappers such as accelerate's hold.

    Raises:
        PrunusError: there is none.
    """
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    if not isinstance(optimizer, Optimizer):
        raise PrunusError(f"{type(optimizer).__name__} is no optimizer of torch")
    return optimizer


def overflowed(optimizer: Optimizer) -> bool:
    """Whether a fused optimizer is about to skip a step whose scaled gradients are infinite."""
    return bool(getattr(optimizer, "found_inf", None))


def unscaled(gradient: Tensor | None, optimizer: Optimizer) -> Tensor | None:
    """A gradient without the scale that a fused optimizer takes off by itself."""
    scale = getattr(optimizer, "grad_scale", None)
    return gradient if gradient is None or scale is None else gradient / scale
