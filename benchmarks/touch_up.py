"""A ten-fold reduction of FLOPs, and what two minutes of distillation give back.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/touch_up.py

SST-2, the shipped recipe with ``finetune`` at its end, once for each way to train, one thread. A
cell takes three minutes of an idle machine; ``minutes`` are those of the clock on the wall, so look
at the steps too.
"""

import os
import tempfile
from pathlib import Path

import torch
from cells import fill

from prunus.recipe import read
from prunus.recipe.run import run

CELLS = [
    {"density": 0.1, "train": train, "minutes": 2, "seed": 0}
    for train in ("all", "biases_and_norms", "lora")
]


def measure(density: float, train: str, minutes: float, seed: int) -> dict:
    folder = Path(os.environ["PRUNUS_MODELS"]) / "minilm-l6-sst2"
    last = {"name": "finetune", "train": train, "minutes": minutes}
    recipe = read("prunus", [f"model={folder}", f"budget.density={density}", "latency=null"])
    recipe = recipe.model_copy(update={"recover": (*recipe.recover, last), "seed": seed})
    with tempfile.TemporaryDirectory() as place:
        report = run(recipe, Path(place) / "run", quiet=True)
    own = report.touch_up
    assert own is not None
    return {
        "dense": report.quality.dense,
        "pruned": own.before,
        "touched_up": report.quality.pruned,
        "gained": own.gained,
        "margin": own.margin,
        "minutes": own.minutes,
        "steps": own.steps,
        "loss": own.loss,
        "samples": own.samples,
        "parameters": report.params.pruned,
        "seconds": report.seconds.model_dump(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    fill("touch_up", CELLS, measure)
