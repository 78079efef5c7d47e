"""The kernel in C: AVX512, AVX2 or whatever else the compiler finds, and threads of its own."""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from prunus.errors import PrunusError
from prunus.sparse._compile import compiled
from prunus.sparse._runs import Runs

SOURCE = Path(__file__).with_name("kernel.c")


@cache
def load() -> Any:
    """The compiled function.

    Raises:
        PrunusError: it cannot be compiled here, or what was compiled does not load.
    """
    path = compiled(SOURCE)
    try:
        function = ctypes.CDLL(str(path)).prunus_sparse_linear
    except (OSError, AttributeError) as error:
        raise PrunusError(f"{path} does not load ({error}); remove it and try again") from None
    function.argtypes = [ctypes.c_void_p] * 6 + [ctypes.c_int64] * 5
    return function


def multiply(x: Tensor, runs: Runs, threads: int) -> Tensor:
    """The product x W^T + b.

    Args:
        x: [tokens, inputs] float32, contiguous.
        runs: W and b.
        threads: how many may compute.

    Returns:
        [tokens, outputs].

    Raises:
        PrunusError: memory is short.
    """
    y = x.new_empty(len(x), runs.shape[0])
    tensors = (x, runs.values, runs.bias, runs.starts, runs.columns, y)
    sizes = (len(x), runs.shape[1], runs.shape[0], runs.values.shape[1], threads)
    if load()(*(tensor.data_ptr() for tensor in tensors), *sizes):
        raise PrunusError(f"no memory for a copy of {len(x)} tokens; use a smaller batch")
    return y
