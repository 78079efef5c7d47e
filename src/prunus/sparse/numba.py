"""The kernel for machines without a compiler: numba's, a few times slower than the one in C."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

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
    size = max(1, min(TILE, -(-len(x) // threads)))
    y = x.new_empty(len(x), runs.shape[0])
    pairs = list(zip(x.split(size), y.split(size), strict=True))
    if threads == 1 or len(pairs) == 1:
        for inputs, outputs in pairs:
            _tile(inputs, outputs, runs)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda pair: _tile(*pair, runs), pairs))
    return y


def _tile(x: Tensor, y: Tensor, runs: Runs) -> None:
    """With tokens innermost, so that a processor computes many at once."""
    tall = x.new_empty(len(runs.bias), len(x))
    tensors = (x.T.contiguous(), runs.starts, runs.columns, runs.values, runs.bias, tall)
    load()(*(tensor.numpy() for tensor in tensors))
    y.copy_(tall[: runs.shape[0]].T)


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
