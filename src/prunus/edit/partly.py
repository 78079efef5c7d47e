"""A copy of a model that has some tensors of its own and shares all others."""

import copy
from collections.abc import Collection
from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def partly(model: Model, own: Collection[str]) -> Model:
    """A copy whose structure, and whose tensors of some names, can be changed.

    Args:
        model: any module.
        own: names of parameters and buffers; all others are those of ``model``.
    """
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]
    apart = {id(tensor) for name, tensor in tensors if name in own}
    shared = {id(tensor): tensor for _, tensor in tensors if id(tensor) not in apart}
    return copy.deepcopy(model, shared)
