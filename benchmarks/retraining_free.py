"""Retraining-free pruning: tasks x methods x densities x calibration seeds, one thread.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/retraining_free.py [--only sst2] [--table]

PRUNUS_MODELS holds ``minilm-l6-sst2``; the other dense models are made by ``prunus train dense/glue
task.subset=mrpc --out runs/dense/mrpc`` (and rte, stsb, cola; ``dense/squad`` for squad). Methods
are the shipped recipes of these names. Calibration texts are drawn from the training split, another
draw a seed; the validation split is only looked at here. A cell takes about 20 seconds on SST-2,
two minutes with K-prune, three times that on MRPC and SQuAD. ``--table`` measures nothing.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from cells import fill, rows

ROOT = Path(__file__).parents[1]
TABLE = "retraining_free"
SAMPLES = {"sst2": 476, "mrpc": 256, "stsb": 256, "rte": 128, "cola": 476, "squad": 96}
METHODS = {
    "prunus": {"recipe": "prunus"},
    "prunus, no input map": {"recipe": "prunus", "recover": ["least_squares"]},
    "prunus, units chosen again": {"recipe": "prunus", "recover": ["reselect", "least_squares"]},
    "prunus, fast": {"recipe": "prunus", "scored": 0.5, "precision": "bfloat16"},
    "K-prune": {"recipe": "kprune"},
    "Kwon et al.": {"recipe": "kwon"},
    "Fisher, least squares": {"recipe": "fisher"},
    "random, least squares": {"recipe": "random", "recover": ["least_squares"]},
    "magnitude": {"recipe": "magnitude"},
}
HEADLINE = ("prunus", "Kwon et al.", "K-prune")
VARIANTS = ("prunus, no input map", "prunus, units chosen again", "prunus, fast",
            "Fisher, least squares", "random, least squares", "magnitude")  # fmt: skip


def _cells() -> list[dict]:
    spec = [(task, HEADLINE, (0.5, 0.2), (0, 1, 2)) for task in ("sst2", "mrpc")]
    spec += [
        ("sst2", HEADLINE, (0.6, 0.4, 0.25, 0.1), (0,)),
        ("sst2", ("prunus",), (0.25,), (1, 2)),
    ]
    spec += [("sst2", VARIANTS, (0.5, 0.2), (0,)), ("mrpc", VARIANTS, (0.2,), (0,))]
    for task in ("stsb", "cola", "squad"):
        spec += [
            (task, ("prunus", "Kwon et al."), (0.5, 0.2), (0,)),
            (task, ("K-prune",), (0.2,), (0,)),
        ]
    return [
        {"task": task, "method": method, "density": density, "seed": seed}
        for task, methods, densities, seeds in spec
        for method in methods
        for density in densities
        for seed in seeds
    ]


def dense_of(task: str) -> Path:
    """The folder of a task's dense model."""
    if task == "sst2":
        return Path(os.environ["PRUNUS_MODELS"]) / "minilm-l6-sst2"
    return ROOT / "runs/dense" / task


def task_of(task: str) -> object:
    """The task with as many calibration texts as the table says."""
    from prunus.task.glue import Glue
    from prunus.task.question_answering import QuestionAnswering

    splits = {"calibration": SAMPLES[task]}
    if task == "sst2":
        return Glue(subset=task, splits=splits)
    splits["development"] = 300 if task == "squad" else 256  # which training left out
    if task != "squad":
        return Glue(subset=task, splits=splits)
    source = {"data": "rajpurkar/squad", "config": "plain_text"}
    return QuestionAnswering(**source, max_length=256, stride=96, splits=splits)


def divergence(dense: object, small: object, batches: list[dict], hidden: tuple[str, ...]) -> float:
    """Mean divergence of the small model's answers from the dense model's, a sample."""
    import torch

    from prunus.probe import Teacher

    teacher, total, samples = Teacher(dense, 1.0), 0.0, 0
    with torch.no_grad():
        for batch in batches:
            batch = {key: value for key, value in batch.items() if key not in hidden}
            total += float(teacher(small, batch))
            samples += len(batch["input_ids"])
    return total / samples


def measure(task: str, method: str, density: float, seed: int) -> dict:
    """One cell, in a process of its own, so that its peak memory is its own."""
    import json

    cell = json.dumps({"task": task, "method": method, "density": density, "seed": seed})
    done = subprocess.run(
        [sys.executable, __file__, "--cell", cell], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def one(task: str, method: str, density: float, seed: int) -> dict:
    """What is measured of one cell."""
    import torch
    from transformers import AutoTokenizer

    import prunus
    from prunus.anatomy import anatomy
    from prunus.drive import finish, job_of
    from prunus.measure.latency import latency
    from prunus.measure.phases import Phases
    from prunus.probe.work import flops, single
    from prunus.recipe import read
    from prunus.recipe._parts import build
    from prunus.task import agreement

    torch.set_num_threads(1)
    folder, settings = dense_of(task), dict(METHODS[method])
    model = prunus.load(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    data = task_of(task).prepare(tokenizer, num_labels=model.config.num_labels, seed=seed)
    recipe = read(settings.pop("recipe"))
    how = {key: getattr(recipe, key) for key in ("score", "select", "recover")} | settings
    how["score"] = build("score", how["score"], seed)
    batches = data.batches("calibration", 32, order=recipe.calibration.order)
    watch, wall, cpu = Phases(), time.perf_counter(), time.process_time()
    job = job_of(
        model, anatomy(model).of("heads", "neurons"), batches,
        budget={"density": density}, phase=watch, **how,
    )  # fmt: skip
    small = finish(job, build("drive", recipe.drive).run(job))
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    dense, pruned = data.evaluate(model), data.evaluate(small)
    gap = (pruned.scores - dense.scores).double() * 100
    batch = {"input_ids": torch.randint(1000, 20000, (8, 128))}
    timed = latency(model, small, batch, threads=1, pairs=9)
    return {
        "metric": dense.metric,
        "dense": dense.value,
        "pruned": pruned.value,
        "difference": pruned.value - dense.value,
        "difference_stderr": (gap.std() / len(gap) ** 0.5).item(),
        "scores": "".join(f"{round(float(x)):d}" for x in pruned.scores)
        if dense.metric == "accuracy"
        else None,
        "agreement": agreement(dense, pruned),
        "kl": divergence(model, small, data.batches("validation", 32), data.label_keys),
        "tokens": sum(int(b["attention_mask"].sum()) for b in batches),
        "padded_tokens": sum(b["attention_mask"].numel() for b in batches),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "phases": {name: round(value, 1) for name, value in watch.seconds.items()},
        "peak_mib": round(peak),
        "speedup": timed.speedup,
        "ideal": flops(model, single(batch)) / flops(small, single(batch)),
        "noisy": timed.noisy,
    }


def paired(ours: list[dict], theirs: list[dict]) -> str:
    """Mean difference of right answers on the same texts, with its 95 % interval."""
    gaps = []
    for a, b in zip(ours, theirs, strict=True):
        if a["scores"] is None:
            return ""
        gaps.append([int(x) - int(y) for x, y in zip(a["scores"], b["scores"], strict=True)])
    each = [statistics.mean(column) for column in zip(*gaps, strict=True)]
    middle = 100 * statistics.mean(each)
    error = 100 * statistics.stdev(each) / len(each) ** 0.5
    return f"{middle:+.2f} ± {1.96 * error:.2f}"


def table() -> None:
    """Markdown: a row for each task, density and method."""
    found = rows(TABLE)
    print("| task | density | method | seeds | quality (min to max) | change | ours - this (95 %)"
          " | KL | CPU s | MiB | speed-up / ideal |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    keys = dict.fromkeys((row["cell"]["task"], row["cell"]["density"]) for row in found)
    for task, density in sorted(keys, key=lambda key: (list(SAMPLES).index(key[0]), -key[1])):
        own = [r for r in found if (r["cell"]["task"], r["cell"]["density"]) == (task, density)]
        by_seed = {r["cell"]["seed"]: r for r in own if r["cell"]["method"] == "prunus"}
        for method in METHODS:
            cells = [r for r in own if r["cell"]["method"] == method]
            if cells:
                print(_line(task, density, method, cells, by_seed))


def _line(task: str, density: float, method: str, cells: list[dict], ours: dict) -> str:
    values = [row["pruned"] for row in cells]
    spread = f" ({min(values):.2f} to {max(values):.2f})" if len(cells) > 1 else ""
    beside = [ours.get(row["cell"]["seed"]) for row in cells]
    gap = paired(beside, cells) if method != "prunus" and all(beside) else ""
    mean = {
        key: statistics.mean(row[key] for row in cells) for key in ("pruned", "difference", "kl")
    }
    cpu = statistics.median(row["seconds"]["cpu"] for row in cells)
    peak = max(row["peak_mib"] for row in cells)
    share = statistics.median(row["speedup"] / row["ideal"] for row in cells)
    return (
        f"| {task} | {density} | {method} | {len(cells)} | {mean['pruned']:.2f}{spread}"
        f" | {mean['difference']:+.2f} | {gap} | {mean['kl']:.4f} | {cpu:.0f} | {peak}"
        f" | {share:.2f} |"
    )


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", action="store_true", help="print the table, measure nothing")
    parser.add_argument("--only", help="only cells of this task")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.cell:
        import json

        print(json.dumps(one(**json.loads(chosen.cell))))
        return
    if not chosen.table:
        fill(TABLE, (c for c in _cells() if chosen.only in (None, c["task"])), measure)
    table()


if __name__ == "__main__":
    main()
