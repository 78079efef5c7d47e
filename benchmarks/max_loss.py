"""How far SST-2's MiniLM can be pruned for a point: the search, and what validation says.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/max_loss.py

The shipped recipe ``prunus`` with ``--max-loss 1pt``; the bound holds on sentences drawn from the
training split, and the validation split is looked at once, at the end. One thread, a few minutes.
"""

import os
import tempfile
from pathlib import Path

import torch
from cells import fill

from prunus.recipe import read
from prunus.recipe.run import run
from prunus.report import Report

CELLS = [{"max_loss": "1pt", "samples": 512, "development": 1000, "seed": 0}]


def measure(max_loss: str, samples: int, development: int, seed: int) -> dict:
    changes = [
        f"model={os.path.join(os.environ['PRUNUS_MODELS'], 'minilm-l6-sst2')}",
        f"calibration.samples={samples}",
        f"task.splits.development={development}",
        f"seed={seed}",
        "latency.batch=8",
        "latency.length=128",
    ]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        return told(run(read("prunus", changes, {"max_loss": max_loss}), out, quiet=True))


def told(report: Report) -> dict:
    found, seconds = report.frontier, report.seconds.model_dump()
    assert found is not None
    chosen = next(step for step in found.steps if step.density == found.chosen)
    keys = ("density", "quality", "ahead", "margin", "met")
    return {
        "evaluations": len(found.steps) + 1,
        "density": found.chosen,
        "flops": report.flops.pruned / report.flops.dense,
        "params": report.params.pruned,
        "speedup": report.latency_ms[-1].speedup,
        "development": {
            "n": found.n, "dense": found.dense, "pruned": chosen.quality,
            "ahead": chosen.ahead, "margin": chosen.margin,
        },
        "validation": {
            "n": report.quality.n, "dense": report.quality.dense, "pruned": report.quality.pruned,
            "ahead": found.ahead, "margin": found.margin,
        },
        "steps": [{key: getattr(step, key) for key in keys} for step in found.steps],
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    fill("max_loss", CELLS, measure)
