"""A ten-fold reduction of FLOPs, and what two minutes of distillation give back.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/touch_up.py

SST-2, the shipped recipe with ``finetune`` at its end, once for each way to train, on unlabelled
sentences of the training split, one thread. Steps bound it, so that a busy machine changes nothing:
800 batches of 32 take about two minutes of processor time, which is what ``cpu_seconds`` counts.
"""

import os
import time
from pathlib import Path

from cells import fill

CELLS = [
    {"density": 0.1, "train": train, "steps": 800, "seed": 0}
    for train in ("all", "biases_and_norms", "lora")
]


def measure(density: float, train: str, steps: int, seed: int) -> dict:
    import torch
    from transformers import AutoTokenizer

    import prunus
    from prunus.anatomy import anatomy
    from prunus.drive import finish, job_of
    from prunus.recipe import read
    from prunus.registry import build
    from prunus.task import difference

    torch.set_num_threads(1)
    folder, recipe = Path(os.environ["PRUNUS_MODELS"]) / "minilm-l6-sst2", read("prunus")
    dense = prunus.load(folder, dtype=torch.float32).eval()
    data = build("task", recipe.task).prepare(AutoTokenizer.from_pretrained(folder), 2, seed)
    last = {"name": "finetune", "train": train, "steps": steps, "seed": seed}
    job = job_of(
        dense, anatomy(dense).of(*recipe.sites), data.batches("calibration", 32, 512),
        score=recipe.score, budget={"density": density}, select=recipe.select,
        recover=[*recipe.recover, last], training=unlabelled(data.batches("train", 32, 32 * steps)),
    )  # fmt: skip
    plan, looks = build("drive", recipe.drive).run(job), []
    small = finish(job, plan, lambda bare: looks.append((data.evaluate(bare), time.process_time())))
    ((before, began),), spent = looks, time.process_time()
    after, done = data.evaluate(small), job.trained
    gained = difference(after, before)
    return {
        "dense": data.evaluate(dense).value,
        "pruned": before.value,
        "touched_up": after.value,
        "gained": gained.value,
        "margin": gained.margin,
        "steps": done.steps,
        "loss": done.loss,
        "cpu_seconds": spent - began,
        "wall_seconds": done.seconds,
        "parameters": small.num_parameters(),
    }


def unlabelled(batches: list) -> list:
    return [{key: value for key, value in one.items() if key != "labels"} for one in batches]


if __name__ == "__main__":
    fill("touch_up", CELLS, measure)
