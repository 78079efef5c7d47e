"""Budgets of latency: what was asked for, predicted, and measured on the shrunk model.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/latency_budget.py

The dense MiniLM of SST-2, 8 sequences of 128 tokens, one thread. For an idle machine; about two
minutes.
"""

import os

import torch
from cells import fill
from transformers import AutoTokenizer

import prunus
from prunus.anatomy import anatomy
from prunus.drive import cost_of, finish, job_of
from prunus.measure.target import paired
from prunus.registry import build
from prunus.select._budget import At
from prunus.task.glue import Glue

AT = At(batch=8, length=128, threads=1)
CELLS = [{"density": density} for density in (0.8, 0.6, 0.5, 0.35)]


def measure(density: float) -> dict:
    folder = os.path.join(os.environ["PRUNUS_MODELS"], "minilm-l6-sst2")
    model = prunus.load(folder, dtype=torch.float32).eval()
    task = Glue(subset="sst2", splits={"calibration": 476})
    data = task.prepare(AutoTokenizer.from_pretrained(folder), num_labels=2, seed=0)
    batches = data.batches("calibration")
    budget = {"density": density, "of": "model", "metric": "latency", "at": AT.model_dump()}
    job = job_of(
        model, anatomy(model).of("heads", "neurons"), batches,
        score="obs", select="curves", budget=budget, recover=["least_squares"],
    )  # fmt: skip
    plan = build("drive", "oneshot").run(job)
    small = finish(job, plan)
    timed = paired(model, small, batches[0], AT)
    cost = job.cost
    work = cost_of(model, job.sites, "flops", batches[0], AT.length)
    return {
        "target": density,
        "predicted": cost(plan.counts()) / cost({}),
        "measured": 1 / timed.speedup,
        "off": 1 / timed.speedup / density - 1,
        "speedup_iqr": timed.speedup_iqr,
        "noisy": timed.noisy,
        "flops": work(plan.counts()) / work({}),
        "accuracy": data.evaluate(small).value,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    fill("latency_budget", CELLS, measure)
