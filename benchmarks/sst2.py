"""SST-2 without retraining: criteria, densities and calibration seeds on one dense checkpoint.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/sst2.py

PRUNUS_MODELS holds the dense checkpoint ``minilm-l6-sst2``; the data come from the hub or its
mirror under PRUNUS_DATA. Calibration: 476 sentences of the training split, another draw a seed. The
validation split (872 sentences) is only looked at here. About a minute and a half a cell of the
sweep, half of that one-shot, one thread; `--table` prints the table without measuring.
"""

import argparse
import os
import statistics
import time

import torch
from cells import fill, rows
from transformers import AutoTokenizer

import prunus
from prunus.measure.latency import latency
from prunus.probe.work import flops, single
from prunus.task import agreement
from prunus.task.glue import Glue

METHODS = {
    "knowledge, sweep, least squares": {"score": "knowledge"},
    "fisher, one shot, least squares": {"score": "fisher", "drive": "oneshot"},
    "fisher, one shot, no repair": {"score": "fisher", "drive": "oneshot", "recover": ()},
    "random, one shot, least squares": {"score": "random", "drive": "oneshot"},
    "magnitude l1, one shot, no repair": {"score": "magnitude", "drive": "oneshot", "recover": ()},
    "magnitude l2, one shot, no repair": {
        "score": {"name": "magnitude", "norm": "l2"},
        "drive": "oneshot",
        "recover": (),
    },
    "random, one shot, no repair": {"score": "random", "drive": "oneshot", "recover": ()},
}
CELLS = [
    {"method": method, "density": density, "seed": seed}
    for density in (0.5, 0.25)
    for method in METHODS
    for seed in ((0, 1, 2) if density == 0.5 else (0,))
]
LENGTH = 128


def measure(method: str, density: float, seed: int) -> dict:
    folder = os.path.join(os.environ["PRUNUS_MODELS"], "minilm-l6-sst2")
    model = prunus.load(folder, dtype=torch.float32).eval()
    task = Glue(subset="sst2", splits={"calibration": 476})
    data = task.prepare(AutoTokenizer.from_pretrained(folder), num_labels=2, seed=seed)
    settings = dict(METHODS[method])
    if settings["score"] == "random":
        settings["score"] = {"name": "random", "seed": seed}
    started = time.perf_counter()
    small = prunus.prune(model, data.batches("calibration"), density, **settings)
    seconds = time.perf_counter() - started
    dense, pruned = data.evaluate(model), data.evaluate(small)
    gap = (pruned.scores - dense.scores).double() * 100
    batch = {"input_ids": torch.randint(1000, 20000, (8, LENGTH))}
    timed = latency(model, small, batch, threads=1)
    ideal = flops(model, single(batch)) / flops(small, single(batch))
    return {
        "dense": dense.value,
        "pruned": pruned.value,
        "difference": gap.mean().item(),
        "difference_stderr": (gap.std() / len(gap) ** 0.5).item(),
        "agreement": agreement(dense, pruned),
        "parameters": small.num_parameters(),
        "seconds": round(seconds, 1),
        "latency": {
            "batch": 8,
            "length": LENGTH,
            "threads": 1,
            "clock": timed.clock,
            "speedup": timed.speedup,
            "iqr": timed.speedup_iqr,
            "ideal": ideal,
            "noisy": timed.noisy,
        },
    }


def table() -> None:
    print("| method | density | seeds | accuracy | change (points) | seconds | speed-up of ideal |")
    print("|---|---|---|---|---|---|---|")
    found = rows("sst2")
    for density in (0.5, 0.25):
        for method in METHODS:
            cells = [
                r for r in found if (r["cell"]["method"], r["cell"]["density"]) == (method, density)
            ]
            if cells:
                print(_line(method, density, cells))


def _line(method: str, density: float, cells: list[dict]) -> str:
    accuracy = [row["pruned"] for row in cells]
    change = statistics.mean(row["difference"] for row in cells)
    error = statistics.mean(row["difference_stderr"] for row in cells)
    share = statistics.median(r["latency"]["speedup"] / r["latency"]["ideal"] for r in cells)
    spread = f" ({min(accuracy):.2f} to {max(accuracy):.2f})" if len(cells) > 1 else ""
    seconds = statistics.median(row["seconds"] for row in cells)
    return (
        f"| {method} | {density} | {len(cells)} | {statistics.mean(accuracy):.2f}{spread}"
        f" | {change:+.2f} ± {error:.2f} | {seconds:.0f} | {share:.2f} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", action="store_true", help="print the table, measure nothing")
    if not parser.parse_args().table:
        torch.set_num_threads(1)
        fill("sst2", CELLS, measure)
    table()
