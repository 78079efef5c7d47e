"""Which axis of a layer's weight its input lies on."""

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from transformers.pytorch_utils import Conv1D


def columns(model: nn.Module) -> dict[str, int]:
    """{weight of a linear layer or convolution: axis of its inputs}."""
    found = {f"{name}.weight": column(module) for name, module in model.named_modules()}
    return {name: axis for name, axis in found.items() if axis is not None}


def passes_on(module: nn.Module) -> bool:
    """Whether a layer is a convolution whose groups leave as wholes, as depthwise ones do."""
    return isinstance(module, _ConvNd) and module.groups > 1


def column(module: nn.Module) -> int | None:
    """The axis of the inputs of a layer's weight; None of a module that is no such layer."""
    if isinstance(module, Conv1D | _ConvTransposeNd):
        return 0
    return 1 if isinstance(module, nn.Linear | _ConvNd) else None
