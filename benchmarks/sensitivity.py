"""A budget split by what was measured of every site, against a criterion's own split and none.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/sensitivity.py [MINUTES]

The dense MiniLM of SST-2, FLOPs of heads and neurons, one-shot with least squares. Sites are
measured on 1,000 sentences drawn from the training split, MINUTES (10) for each criterion, into
runs/sensitivity-CRITERION, where another call goes on. One thread; 5 minutes more for the cells.
"""

import os
import sys
from functools import cache

import torch
from cells import fill
from transformers import AutoTokenizer

import prunus
from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.recipe import read
from prunus.recipe.sensitivity import sensitivity
from prunus.registry import build
from prunus.task.glue import Glue

FOLDER = os.path.join(os.environ["PRUNUS_MODELS"], "minilm-l6-sst2")
MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
SPLITS = {"calibration": 512, "development": 1000}
OWN = {"obs": "curves", "fisher": "curves", "magnitude": "greedy"}
CELLS = [
    {"score": score, "split": split, "density": density, "minutes": MINUTES}
    for score in OWN
    for split in ("measured", "own", "uniform")
    for density in (0.5, 0.25)
]


def folder(score: str) -> str:
    return f"runs/sensitivity-{score}"


@cache
def table(score: str) -> dict:
    changes = [f"model={FOLDER}", f"score={score}", "task.splits.development=1000"]
    recipe = read("prunus", changes)
    found = sensitivity(recipe, folder(score), minutes=MINUTES, quiet=True)
    points = sum(len(own.points) for own in found.sites)
    return {"samples": found.samples, "points": points, "seconds": found.seconds}


def measure(score: str, split: str, density: float, minutes: float) -> dict:
    del minutes
    told, select = {}, OWN[score]
    if split == "measured":
        told = table(score)
        select = {"name": "measured", "table": folder(score)}
    model = prunus.load(FOLDER, dtype=torch.float32).eval()
    task = Glue(subset="sst2", splits=SPLITS)
    data = task.prepare(AutoTokenizer.from_pretrained(FOLDER), num_labels=2, seed=0)
    budget = {"density": density, "scope": "local" if split == "uniform" else "global"}
    job = job_of(
        model, anatomy(model).of("heads", "neurons"), data.batches("calibration"),
        score=score, select=select, budget=budget, recover=["least_squares"],
    )  # fmt: skip
    plan = build("drive", "oneshot").run(job)
    small = finish(job, plan)
    return {
        **told,
        "flops": job.cost(plan.counts()) / job.cost({}),
        "development": data.evaluate(small, "development").value,
        "accuracy": data.evaluate(small, "validation").value,
        "kept": plan.counts(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    fill("sensitivity", CELLS, measure)
