"""How fast float32 matrices are multiplied, by each of the libraries that torch has for it."""

import time
from collections.abc import Callable

SIDE = 768
"""Rows and columns of the matrices that are multiplied: a few milliseconds each."""
TIMES = 9


def rates() -> dict[str, float]:
    """FLOPs a second of processor time: of BLAS, and of oneDNN where it is there.

    Those of a core, where torch computes with one thread.
    """
    import torch

    left, right = torch.rand(2, SIDE, SIDE)
    found = {"BLAS": _rate(lambda: left @ right)}
    if torch.backends.mkldnn.is_available():
        packed = left.to_mkldnn(), right.to_mkldnn()
        found["oneDNN"] = _rate(lambda: torch.nn.functional.linear(*packed))
    return found


def _rate(product: Callable[[], object]) -> float:
    """Most of several times, which a busy machine disturbs least."""
    best = float("inf")
    for _ in range(TIMES):
        before = time.process_time()
        product()
        best = min(best, time.process_time() - before)
    return 2 * SIDE**3 / max(best, 1e-9)
