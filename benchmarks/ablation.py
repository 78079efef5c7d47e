"""What each part of the retraining-free recipe buys: one part changed at a time.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/ablation.py [--table]

The dense MiniLM of SST-2, 476 calibration sentences, one draw. Judged on 1,000 other sentences of
the training split: mean divergence from the dense model, far less noisy than accuracy. Fifteen
to thirty seconds a cell, one thread.
"""

import argparse
import time

import torch
from cells import fill, rows
from retraining_free import dense_of, divergence
from transformers import AutoTokenizer

import prunus
from prunus.task.glue import Glue

BOTH = ["input_map", "least_squares"]
WHOLE = {"score": "obs", "select": "curves", "recover": BOTH}
VARIANTS = {
    "the recipe": {},
    "no input map": {"recover": ["least_squares"]},
    "units chosen again": {"recover": ["input_map", "reselect", "least_squares"]},
    "units swapped": {"recover": ["input_map", "swap", "least_squares"]},
    "no input map, units chosen again": {"recover": ["reselect", "least_squares"]},
    "no input map, units swapped": {"recover": ["swap", "least_squares"]},
    "split greedily": {"select": "greedy"},
    "no loss weights (smoothing 1)": {"score": {"name": "obs", "smoothing": 1}},
    "gradients alone (smoothing 0)": {"score": {"name": "obs", "smoothing": 0}},
    "Fisher scores": {"score": "fisher", "select": "greedy", "recover": ["least_squares"]},
    "knowledge scores, one shot": {
        "score": "knowledge", "select": "greedy", "recover": ["least_squares"],
    },
    "magnitude scores": {"score": "magnitude", "select": "greedy", "recover": ["least_squares"]},
    "least squares without bias": {
        "recover": ["input_map", {"name": "least_squares", "bias": False}],
    },
    "least squares without ridge": {
        "recover": ["input_map", {"name": "least_squares", "ridge": 0}],
    },
    "bias only": {"recover": ["bias"]},
    "no repair": {"recover": []},
    "bfloat16": {"precision": "bfloat16"},
    "fluctuation, bias (FLAP)": {
        "score": "fluctuation", "select": "greedy", "recover": ["bias"],
    },
    "fluctuation, least squares": {
        "score": "fluctuation", "select": "greedy", "recover": ["least_squares"],
    },
    "whole sublayers by measured loss": {
        "score": "ablation", "select": "greedy", "recover": ["least_squares"],
        "sites": ["sublayers"],
    },
}  # fmt: skip
CELLS = [{"variant": name, "density": density} for density in (0.2, 0.5) for name in VARIANTS]


def measure(variant: str, density: float) -> dict:
    folder = dense_of("sst2")
    model = prunus.load(folder, dtype=torch.float32).eval()
    task = Glue(subset="sst2", splits={"calibration": 476, "development": 1000})
    data = task.prepare(AutoTokenizer.from_pretrained(folder), num_labels=2, seed=0)
    settings = WHOLE | VARIANTS[variant]
    started = time.process_time()
    small = prunus.prune(model, data.batches("calibration"), density, **settings)
    return {
        "cpu_seconds": round(time.process_time() - started, 1),
        "kl": divergence(model, small, data.batches("development"), data.label_keys),
    }


def table() -> None:
    found = {(r["cell"]["variant"], r["cell"]["density"]): r for r in rows("ablation")}
    print("| | KL at 0.2 | KL at 0.5 | CPU seconds at 0.2 |\n|---|---|---|---|")
    for name in VARIANTS:
        fifth, half = (found.get((name, density)) for density in (0.2, 0.5))
        if fifth:
            other = f"{half['kl']:.4f}" if half else "not run"
            print(f"| {name} | {fifth['kl']:.4f} | {other} | {fifth['cpu_seconds']:.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", action="store_true", help="print the table, measure nothing")
    if not parser.parse_args().table:
        torch.set_num_threads(1)
        fill("ablation", CELLS, measure)
    table()
