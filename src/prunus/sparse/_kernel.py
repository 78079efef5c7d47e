"""Which kernel computes, and the product with runs as an operation that torch knows."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.registry import load
from prunus.sparse._runs import Runs

BEST = ("c", "numba")
"""In the order of their speed."""


def kernel_of(name: str | None) -> str:
    """The kernel of this name, or the fastest that works here; it is compiled now.

    Raises:
        PrunusError: it does not work here, or none does.
    """
    if name is not None:
        load("sparse", name).load()
        return name
    faults = []
    for one in BEST:
        try:
            return kernel_of(one)
        except PrunusError as error:
            faults.append(f"{one}: {error}")
    raise PrunusError("\n".join(("no kernel for sparse layers works here:", *faults)))


@cache
def _function(kernel: str) -> Callable[[Tensor, Runs, int], Tensor]:
    return load("sparse", kernel).multiply


def multiply(x: Tensor, runs: Runs, kernel: str) -> Tensor:
    """The product x W^T + b by a kernel: [..., inputs] -> [..., outputs], any layout of x.

    Raises:
        PrunusError: ``x`` is not float32 on the CPU or of another width, or memory is short.
    """
    if x.shape[-1] != runs.shape[1]:
        raise PrunusError(f"the layer has {runs.shape[1]} inputs, and got {list(x.shape)}")
    if x.dtype != torch.float32 or x.device.type != "cpu":
        raise PrunusError(
            f"sparse layers compute in float32 on the CPU, and got {x.dtype} on {x.device}; run the"
            " model so, or keep it dense"
        )
    rows = x.detach().reshape(-1, runs.shape[1]).contiguous()
    y = _function(kernel)(rows, runs, torch.get_num_threads())
    return y.view(*x.shape[:-1], runs.shape[0])


@torch.library.custom_op("prunus::sparse_linear", mutates_args=())
def sparse_linear(
    x: Tensor,
    starts: Tensor,
    columns: Tensor,
    values: Tensor,
    bias: Tensor,
    outputs: int,
    kernel: str,
) -> Tensor:
    """:func:`multiply` as an operation, for graphs and for gradients, of which it has none."""
    return multiply(x, Runs((outputs, x.shape[-1]), starts, columns, values, bias), kernel)


@sparse_linear.register_fake
def _(x: Tensor, *held: Any) -> Tensor:
    *_, outputs, _ = held
    return x.new_empty(*x.shape[:-1], outputs)


def _no_gradient(context: Any, gradient: Tensor) -> None:
    raise PrunusError(
        "sparse layers are for inference and have no gradient; train the dense model, then"
        " sparsify() it"
    )


sparse_linear.register_autograd(_no_gradient)
