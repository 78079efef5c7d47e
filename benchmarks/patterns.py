"""Pruning while training: patterns on SST-2 and MRPC, each beside what was published for it.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/patterns.py [--table]

PRUNUS_MODELS holds ``minilm-l6-sst2``; MRPC's dense model is made by ``prunus train dense/glue
task.subset=mrpc --out runs/dense/mrpc``. The dense model is pruned while it learns 8,000 rows of
the training split (all 3,668 of MRPC) twice, in batches of 16, from its own dense answers. Learning
rate and losses were chosen by 4x1 on 1,000 other rows of SST-2's training split; the validation
split is only looked at here. Five minutes a cell on one thread. ``--table`` measures nothing.
"""

import argparse
import math
import os
import statistics
import tempfile
from pathlib import Path

from cells import fill, rows

ROOT = Path(__file__).parents[1]
PATTERNS = {
    "4x1": {"sites": {"grid": "4x1", "match": ".*encoder.*"}, "budget": {"density": 0.1}},
    "2:4": {"sites": {"grid": "2:4", "match": ".*encoder.*"}, "budget": {"density": 0.5}},
    "1xchannel": {
        "sites": {"grid": "1xchannel", "match": ".*encoder.*"},
        "budget": {"density": 0.4},
    },
    "mixed": {
        "sites": [
            {"grid": "1x1", "match": r".*(output|intermediate)\.dense"},
            {"grid": "4x1", "match": r".*(query|key|value)"},
        ],
        "budget": {
            "density": 0.1,
            "rules": [
                {"match": "output|intermediate", "density": 0.1, "scope": "local"},
                {"match": "query|key|value", "floor": 0.02, "ceiling": 0.5},
            ],
        },
    },
}
ROWS = {"sst2": 8000, "mrpc": 3668}
SCHEDULE = {"name": "cubic", "every": 10, "cooldown": "0.5 epochs"}
CELLS = [
    *({"task": "sst2", "pattern": pattern, "seed": seed}
      for seed in (0, 1, 2) for pattern in ("4x1", "2:4")),
    *({"task": "sst2", "pattern": pattern, "seed": 0} for pattern in ("1xchannel", "mixed")),
    *({"task": "mrpc", "pattern": pattern, "seed": 0} for pattern in ("4x1", "2:4")),
]  # fmt: skip
PUBLISHED = {
    ("sst2", "4x1"): -0.79, ("sst2", "2:4"): 0.14, ("sst2", "1xchannel"): -0.79,
    ("mrpc", "4x1"): -0.34, ("mrpc", "2:4"): -0.72,
}  # fmt: skip
"""Relative drops in percent of neural-compressor's BERT-mini, trained for 15 epochs."""


def dense_of(task: str) -> Path:
    models = {"sst2": Path(os.environ.get("PRUNUS_MODELS", "")) / "minilm-l6-sst2"}
    return models.get(task, ROOT / "runs/dense" / task)


def measure(task: str, pattern: str, seed: int) -> dict:
    import torch

    from prunus.recipe import Recipe
    from prunus.recipe.run import run

    torch.set_num_threads(1)
    recipe = Recipe.model_validate({
        **PATTERNS[pattern],
        "model": str(dense_of(task)),
        "task": {"name": "glue", "subset": task, "splits": {"train": ROWS[task]}},
        "drive": {"name": "gradual", "schedule": SCHEDULE},
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 3e-4},
        "losses": ["logits", {"name": "hidden", "weight": 2}],
        "seed": seed,
    })  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        report = run(recipe, Path(folder) / "run", quiet=True)
    lost, won = (report.detail.changes[kind].n for kind in ("right_to_wrong", "wrong_to_right"))
    n = report.quality.n
    return {
        "dense": report.quality.dense,
        "sparse": report.quality.pruned,
        "margin": 196 * math.sqrt((lost + won) / n - ((won - lost) / n) ** 2) / math.sqrt(n),
        "density": report.density.of_sites,
        "as_neural_compressor": report.zeros.neural_compressor,
        "parameters": [report.params.dense, report.params.pruned],
        "speedup": {str(one.batch): one.speedup for one in report.latency_ms},
        "seconds": report.seconds.model_dump()["train"],
    }


def table() -> None:
    """One row a task and pattern; drops are relative, in percent, as they were published."""
    print(
        "| task | pattern | seeds | density | dense | sparse (min to max) | change, paired (95 %) |"
        " drop | published | parameters left | speed-up |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    found: dict[tuple[str, str], list[dict]] = {}
    for row in rows("patterns"):
        found.setdefault((row["cell"]["task"], row["cell"]["pattern"]), []).append(row)
    for (task, pattern), own in found.items():
        sparse = [row["sparse"] for row in own]
        first, mean = own[0], statistics.mean(sparse)
        span = f" ({min(sparse):.2f} to {max(sparse):.2f})" if len(own) > 1 else ""
        margin = statistics.mean(row["margin"] for row in own)
        dense, was = first["dense"], PUBLISHED.get((task, pattern))
        left = first["parameters"][1] / first["parameters"][0]
        print(
            f"| {task} | {pattern} | {len(own)} | {first['density']:.4f} | {dense:.2f} |"
            f" {mean:.2f}{span} | {mean - dense:+.2f} ± {margin:.2f} |"
            f" {100 * (mean - dense) / dense:+.2f} | {'' if was is None else f'{was:+.2f}'} |"
            f" {left:.2f} | {statistics.mean(row['speedup']['8'] for row in own):.2f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", action="store_true")
    if not parser.parse_args().table:
        fill("patterns", CELLS, measure)
    table()
