"""The kernel for machines without a compiler: numba's, a few times slower than the one in C."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import torch
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
    inputs = [part.T.contiguous() for part in x.split(size)]  # tokens innermost: many at once
    sums = [x.new_empty(len(runs.bias), part.shape[1]) for part in inputs]
    held = [one.numpy() for one in (runs.starts, runs.columns, runs.values, runs.bias)]
    calls = [
        partial(load(), x.numpy(), *held, y.numpy()) for x, y in zip(inputs, sums, strict=True)
    ]
    if threads == 1 or len(calls) == 1:
        for call in calls:
            call()
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda call: call(), calls))
    return torch.cat([one[: runs.shape[0]].T for one in sums])


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
