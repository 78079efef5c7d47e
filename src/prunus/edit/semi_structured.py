"""Weights of which two in four are zero, as the tensors that a GPU multiplies faster."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from prunus.edit.pattern import n_of_m
from prunus.errors import PrunusError

N, M = 2, 4
ROWS, COLUMNS = 32, 64
"""What outputs and inputs must be multiples of, in half precision, for all of torch's kernels."""


def to_semi_structured(model: Any) -> Any:
    """A copy in half precision on the GPU whose 2:4 linear layers are torch's sparse tensors.

    The copy is for inference: it is not saved, and its other layers are dense. Which layers can be
    converted, :func:`convertible` tells.

    Args:
        model: any model, its zeros in place.

    Returns:
        The copy, in float16, with ``torch.sparse.to_sparse_semi_structured`` weights.

    Raises:
        PrunusError: no layer is 2:4 and of a fitting shape, or there is no GPU.
    """
    names = convertible(model)
    if not names:
        raise PrunusError(
            f"{type(model).__name__} has no linear layer of which every {M} neighbouring inputs"
            f" hold {M - N} zeros, with a multiple of {ROWS} outputs and {COLUMNS} inputs; prune it"
            f" with the pattern {N}:{M}"
        )
    if not torch.cuda.is_available():
        raise PrunusError(
            "semi-structured tensors need a GPU that torch can use, and there is none here; the"
            " model gives the same answers as it is"
        )
    half = copy.deepcopy(model).to("cuda", torch.float16)
    for name in names:
        linear = half.get_submodule(name)
        sparse = torch.sparse.to_sparse_semi_structured(linear.weight.detach())
        linear.weight = nn.Parameter(sparse, requires_grad=False)
    return half


def convertible(model: nn.Module) -> list[str]:
    """The linear layers whose weight is 2:4 and of a shape that the GPU's kernels take."""
    return [name for name, linear in _linears(model) if n_of_m(linear.weight, N, M)]


def _linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            outputs, inputs = module.weight.shape
            if module.weight.numel() and not outputs % ROWS and not inputs % COLUMNS:
                yield name, module
