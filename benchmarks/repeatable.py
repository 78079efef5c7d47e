"""How far the median ratios of `prunus bench` lie apart, while another process loads a core.

    python benchmarks/repeatable.py

A BERT-base shape (12 x 768, random) and half of it, batch 1, 128 tokens, one thread, five times
each with an idle machine and with a process that multiplies matrices without end. Two minutes.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from cells import fill
from exported import cut, opened

import prunus
from prunus.recipe.bench import Asked, bench

TIMES = 5
LOAD = "import numpy as n\na = n.ones((800, 800))\nwhile True: a @ a"
CELLS = [
    {"runtime": runtime, "loaded": loaded}
    for runtime in ("torch-eager", "openvino")
    for loaded in (False, True)
]


def measure(runtime: str, loaded: bool) -> dict:
    asked = Asked(runtime=runtime, batch=1, length=128, threads=1, pairs=9)
    with tempfile.TemporaryDirectory() as folder, loading(loaded):
        dense = opened("bert")
        prunus.save(dense, f"{folder}/dense")
        prunus.save(cut(dense, 0.5), f"{folder}/pruned")
        found = [
            bench(f"{folder}/dense", f"{folder}/pruned", asked, quiet=True).cells[0].latency
            for _ in range(TIMES)
        ]
    ratios = [one.speedup for one in found]
    return {
        "ratios": ratios,
        "apart": max(ratios) / min(ratios) - 1,
        "wall": [one.wall.speedup for one in found if one.wall is not None],
        "others": [one.others for one in found],
        "noisy": [one.noisy for one in found],
    }


@contextmanager
def loading(wanted: bool) -> Iterator[None]:
    """Another process that keeps a core busy, where one is wanted."""
    load = subprocess.Popen([sys.executable, "-c", LOAD]) if wanted else None
    try:
        yield
    finally:
        if load is not None:
            load.kill()
            load.wait()


if __name__ == "__main__":
    torch.set_num_threads(1)
    fill("repeatable", CELLS, measure)
