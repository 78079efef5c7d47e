"""What zeros buy on a processor: one layer, and a whole model, by pattern, density and kernel.

    python benchmarks/sparse.py [--table]

Weights are random, one thread, processor time, dense and sparse in turns in one process (median of
ratios). ``layer`` is BERT-base's 768 -> 3072; ``model`` its shape (12 layers of 768), all linear
layers of the encoder sparse, one sequence of 128 tokens; dense is torch eager with its default
kernels. GF/s count the products with weights that are not zero; the peak is that of multiply-adds
on registers, taken beside every cell. Five minutes on one thread; ``--table`` measures nothing.
"""

import argparse
import copy
import ctypes
import time
from pathlib import Path
from typing import Any

import torch
from cells import fill, rows
from torch import Tensor, nn

from prunus.measure.hardware import hardware
from prunus.measure.latency import latency
from prunus.sparse import SparseLinear, sparsify
from prunus.sparse._compile import compiled

BLOCKS = {"1x1": (1, 1), "4x1": (4, 1), "16x1": (16, 1), "32x1": (32, 1), "32x32": (32, 32)}
PATTERNS = (*BLOCKS, "2:4")
LAYER = [
    {"what": "layer", "pattern": pattern, "density": density, "kernel": kernel, "tokens": tokens}
    for kernel, tokens in (("c", 128), ("numba", 128), ("c", 1024), ("c", 1))
    for pattern in PATTERNS
    for density in ((0.5,) if pattern == "2:4" else (0.05, 0.1, 0.2, 0.5))
]
MODEL = [
    {"what": "model", "pattern": pattern, "density": density, "kernel": kernel, "tokens": 128}
    for kernel, density in (("c", 0.1), ("c", 0.2), ("c", 0.5), ("numba", 0.1))
    for pattern in BLOCKS
]
INPUTS, OUTPUTS = 768, 3072


def weights(outputs: int, inputs: int, pattern: str, density: float) -> Tensor:
    """Random weights, of which a share lives."""
    weight = torch.randn(outputs, inputs) * inputs**-0.5
    if pattern == "2:4":
        ranks = torch.rand(outputs, inputs // 4, 4).argsort(-1)
        return weight * (ranks < 2).reshape(outputs, inputs)
    p, q = BLOCKS[pattern]
    live = torch.rand(outputs // p, inputs // q) < density
    return weight * live.repeat_interleave(p, 0).repeat_interleave(q, 1)


def peak() -> float:
    """GF/s of one core, the best of five tries."""
    function = ctypes.CDLL(str(compiled(Path(__file__).with_name("peak.c")))).peak
    function.argtypes, function.restype = [ctypes.c_long, ctypes.c_void_p], ctypes.c_double
    out = torch.zeros(16)
    found = []
    for _ in range(5):
        start = time.process_time()
        done = function(2_000_000, out.data_ptr())
        found.append(done / (time.process_time() - start) / 1e9)
    return max(found)


def layer(pattern: str, density: float, kernel: str, tokens: int) -> dict[str, Any]:
    dense = nn.Linear(INPUTS, OUTPUTS)
    dense.weight.data = weights(OUTPUTS, INPUTS, pattern, density)
    sparse = SparseLinear(copy.deepcopy(dense), kernel)
    x = torch.randn(tokens, INPUTS)
    with torch.inference_mode():
        y = dense(x)
        far = float((sparse(x) - y).abs().max() / y.abs().max())
    timed = latency(dense, sparse, x, threads=1, pairs=9, min_seconds=0.02)
    gigaflop = 2 * tokens * INPUTS * OUTPUTS / 1e9
    live = float((dense.weight != 0).float().mean())
    return {
        "run": sparse.length,
        "dense_gflops": gigaflop / timed.dense * 1e3,
        "sparse_gflops": gigaflop * live / timed.pruned * 1e3,
        **figures(timed, far),
    }


def model(pattern: str, density: float, kernel: str, tokens: int) -> dict[str, Any]:
    from transformers import BertConfig, BertModel

    dense = BertModel(BertConfig(), add_pooling_layer=False).eval()
    gigaflop = 0.0
    for module in dense.encoder.modules():
        if type(module) is nn.Linear:
            shape = (module.out_features, module.in_features)
            module.weight.data = weights(*shape, pattern, density)
            gigaflop += 2e-9 * tokens * module.weight.numel()
    sparse = copy.deepcopy(dense)
    layers = sparsify(sparse, tokens=tokens, kernel=kernel, density=1.0)
    batch = {"input_ids": torch.randint(30000, (1, tokens))}
    with torch.inference_mode():
        y = dense(**batch).last_hidden_state
        far = float((sparse(**batch).last_hidden_state - y).abs().max() / y.abs().max())
    timed = latency(dense, sparse, batch, threads=1, pairs=9)
    return {
        "replaced": sum(not one.left for one in layers),
        "dense_gflops": gigaflop / timed.dense * 1e3,
        "sparse_gflops": gigaflop * density / timed.pruned * 1e3,
        **figures(timed, far),
    }


def figures(timed: Any, far: float) -> dict[str, Any]:
    return {
        "speedup": timed.speedup,
        "iqr": timed.speedup_iqr,
        "dense_ms": timed.dense,
        "sparse_ms": timed.pruned,
        "difference": far,
        "peak_gflops": peak(),
        "cpu": hardware()["cpu"],
        "torch": torch.__version__,
    }


def measure(what: str, **cell: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return (layer if what == "layer" else model)(**cell)


def table() -> None:
    """Speed-up by density; in brackets the share of the peak that the sparse side reaches."""
    found = {tuple(row["cell"].values()): row for row in rows("sparse")}
    densities = (0.05, 0.1, 0.2, 0.5)
    print("| what | kernel | tokens | pattern |", *(f"{density:g} |" for density in densities))
    print("|---|---|---|---|" + "---|" * len(densities))
    for what, pattern, _, kernel, tokens in dict.fromkeys(
        (k[0], k[1], 0, k[3], k[4]) for k in found
    ):
        cells = [found.get((what, pattern, density, kernel, tokens)) for density in densities]
        told = ["" if cell is None else _told(cell) for cell in cells]
        print(f"| {what} | {kernel} | {tokens} | {pattern} |", *(f"{one} |" for one in told))
    shares = sorted(row["dense_gflops"] / row["peak_gflops"] for row in found.values())
    print(f"\nDense reaches {shares[0]:.0%} to {shares[-1]:.0%} of the peak.")


def _told(cell: dict[str, Any]) -> str:
    return f"{cell['speedup']:.1f} ({cell['sparse_gflops'] / cell['peak_gflops']:.0%})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", action="store_true")
    if not parser.parse_args().table:
        fill("sparse", LAYER + MODEL, measure)
    table()
