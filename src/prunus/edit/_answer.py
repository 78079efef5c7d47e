"""A forward pass of a model that may have no weights."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.fx.experimental.symbolic_shapes import ShapeEnv


def weightless(model: nn.Module) -> bool:
    """Whether parameters lie on the meta device, which keeps shapes alone."""
    return any(parameter.is_meta for parameter in model.parameters())


def answer(model: nn.Module, batch: Mapping[str, Any]) -> Any:
    """What a model gives; without weights, tensors that have shapes and no numbers.

    The meta device would not do: a model asks batches what they hold (is anything padded?), and
    has tensors of its own made on the CPU. Fake parameters work with both.

    Args:
        model: anywhere; where :func:`weightless`, all of it is taken to be on the CPU.
        batch: keyword arguments of one forward pass, real ones.
    """
    if not weightless(model):
        return model(**batch)
    named = chain(model.named_parameters(), model.named_buffers())
    with FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv()):
        state: dict[str, Tensor] = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype) for name, tensor in named
        }
    return functional_call(model, state, (), dict(batch))
