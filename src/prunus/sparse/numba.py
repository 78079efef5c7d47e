"""The kernel for machines without a compiler: numba's, a few times slower than the one in C."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from torch import Tensor

from prunus.errors import PrunusError
from prunus.sparse._runs import Runs

TILE = 128
"""Tokens whose sums lie in the nearest cache while a panel's runs go by."""


@cache
def load() -> Any:
    """The compiled function, which lets go of the interpreter's lock.

    Raises:
        PrunusError: numba is not installed.
    """
    try:
        import numba
    except ImportError as error:
        raise PrunusError(f'{error}: `pip install "prunus[sparse]"`') from None
    return numba.njit(nogil=True, fastmath=True, cache=True)(_panels)


def multiply(x: Tensor, runs: Runs, threads: int) -> Tensor:
    """x W^T + b.

    Args:
        x: [tokens, inputs] float32, contiguous.
        runs: W and b.
        threads: how many may compute.

    Returns:
        [tokens, outputs].
    """
    panels = len(runs.starts) - 1
    y = x.new_empty(len(runs.bias), len(x))
    tensors = (x.T.contiguous(), runs.starts, runs.columns, runs.values, runs.bias, y)
    arrays = [tensor.detach().numpy() for tensor in tensors]
    edges = [panels * i // threads for i in range(threads + 1)]
    if threads == 1:
        load()(*arrays, 0, panels)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda p, end: load()(*arrays, p, end), edges, edges[1:]))
    return y[: runs.shape[0]].T.contiguous()


def _panels(
    x: Any, starts: Any, columns: Any, values: Any, bias: Any, y: Any, first: int, end: int
) -> None:
    """Panels [first, end) of y [outputs, tokens] from x [inputs, tokens]."""
    tokens, length = x.shape[1], values.shape[1]
    for panel in range(first, end):
        for row in range(panel * length, (panel + 1) * length):
            y[row] = bias[row]
        for tile in range(0, tokens, TILE):
            last = min(tile + TILE, tokens)
            for run in range(starts[panel], starts[panel + 1]):
                for row in range(length):
                    weight = values[run, row]
                    for token in range(tile, last):
                        y[panel * length + row, token] += weight * x[columns[run], token]
