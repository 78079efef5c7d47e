"""What a network is shown when it is traced."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

SIDE = 64
"""Of an image for networks whose configuration does not tell one."""
PIXELS = "pixel_values"
LABELS = "labels"


def sees_images(model: Any) -> bool:
    """Whether a model of transformers reads nothing but images."""
    return hasattr(model, "config") and getattr(model, "main_input_name", "") == PIXELS


def image_for(model: Any) -> dict[str, Tensor]:
    """An image for a model that sees images, on its device."""
    side = getattr(model.config, "image_size", None) or SIDE
    height, width = side if isinstance(side, list | tuple) else (side, side)
    weight = _weight(model)
    wide = (1, getattr(model.config, "num_channels", 3), height, width)
    return {PIXELS: torch.zeros(wide, dtype=weight.dtype, device=weight.device)}


def shown_to(model: nn.Module, example: Mapping[str, Any]) -> dict[str, Any]:
    """One sample of an example, without labels, on the model's device."""
    device = _weight(model).device
    return {
        name: value[:1].to(device) if isinstance(value, Tensor) and value.dim() else value
        for name, value in example.items()
        if name != LABELS
    }


def _weight(model: nn.Module) -> Tensor:
    return next(model.parameters())
