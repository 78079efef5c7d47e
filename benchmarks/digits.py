"""The smallest example: a residual network of scikit-learn's digits, pruned in seconds.

    python benchmarks/digits.py

The recipes ``digits/train`` and ``digits`` as they are, and ``digits`` with adapters: what
docs/how-to/prune-an-image-classifier.md tells of them. One seed, under a minute.
"""

import tempfile
from pathlib import Path

from cells import fill

CELLS = [{"changes": []}, {"changes": ["adapt={name: splora, rank: 4}"]}]


def measure(changes: list[str]) -> dict:
    import torch

    from prunus.recipe import read, read_training
    from prunus.recipe.run import run
    from prunus.recipe.train import train

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dense = Path(folder) / "dense"
        train(read_training("digits/train"), dense, quiet=True)
        report = run(read("digits", [f"model={dense}", *changes]), Path(folder) / "run", quiet=True)
    return {
        "dense": report.quality.dense,
        "pruned": report.quality.pruned,
        "trained": report.trained,
        "parameters": [report.params.dense, report.params.pruned],
        "flops": [report.flops.dense, report.flops.pruned],
    }


if __name__ == "__main__":
    fill("digits", CELLS, measure)
