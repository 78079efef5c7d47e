"""The kernel for machines without a compiler: numba's, a few times slower than the one in C."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
from torch import Tensor

from prunus.errors import PrunusError
from prunus.sparse._runs import Runs

TILE = 128
"""Tokens at a time: their sums stay in the nearest cache while a panel's runs go by."""


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
    """The product x W^T + b.

    Args:
        x: [tokens, inputs] float32, contiguous.
        runs: W and b.
        threads: how many may compute.

    Returns:
        [tokens, outputs].
    """
    y = x.new_empty(len(x), runs.shape[0])
    held = [one.numpy() for one in (runs.starts, runs.columns, runs.values, runs.bias)]
    tile = partial(_tile, held)
    count = max(1, min(len(x), max(threads, -(-len(x) // TILE))))
    parts = [np.array_split(one.numpy(), count) for one in (x, y)]
    if threads == 1 or count == 1:
        list(map(tile, *parts))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(tile, *parts))
    return y


def _tile(held: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> None:
    """With tokens innermost, so that a processor computes many at once.

    In numpy: torch's inference mode, in which these may have been made, is not that of all threads.
    """
    tall = np.empty((len(held[-1]), len(x)), x.dtype)
    load()(np.ascontiguousarray(x.T), *held, tall)
    y[:] = tall[: y.shape[1]].T


def _panels(x: Any, starts: Any, columns: Any, values: Any, bias: Any, y: Any) -> None:
    """Fill y [outputs, tokens] from x [inputs, tokens], four runs at a time."""
    length = values.shape[1]
    for panel in range(len(starts) - 1):
        first, end = starts[panel], starts[panel + 1]
        for row in range(length):
            y[panel * length + row] = bias[panel * length + row]
        for run in range(first, end, 4):
            b, c, d = min(run + 1, end - 1), min(run + 2, end - 1), min(run + 3, end - 1)
            xa, xb, xc, xd = x[columns[run]], x[columns[b]], x[columns[c]], x[columns[d]]
            for row in range(length):
                sums = y[panel * length + row]
                wa = values[run, row]
                wb = values[b, row] * (run + 1 < end)
                wc = values[c, row] * (run + 2 < end)
                wd = values[d, row] * (run + 3 < end)
                for token in range(x.shape[1]):
                    sums[token] += wa * xa[token] + wb * xb[token] + wc * xc[token] + wd * xd[token]
