"""Where a model computes."""

import torch
from torch import nn


def device_of(model: nn.Module) -> torch.device:
    """Where a model computes; the processor, where it has no parameters."""
    return next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
