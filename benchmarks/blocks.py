"""Blocks of 32 x 32 while the network trains: learned masks, all weights against block adapters.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/blocks.py [--table] [--tune] [--only NAME]

SST-2: the shared six-layer MiniLM, 8,000 sentences of the training split. SQuAD
subset: a MiniLM that was fine-tuned on it (``prunus train dense/squad --out runs/dense/squad``),
1,500 questions. Two epochs each. The blocks of all linear layers of the encoder share one budget.
Learning rates were chosen by soft movement at a tenth on 1,000 other rows of the
training split (``--tune``); the validation split is only looked at here. Four minutes a cell on one
thread; ``--only fine`` and ``--only splopa`` run side by side. ``--table`` measures nothing.
"""

import argparse
import math
import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from cells import fill, rows

ROOT = Path(__file__).parents[1]
CRITERIA: dict[str, dict[str, Any]] = {
    "soft movement": {"name": "soft_movement", "penalty": 100},
    "movement": {"name": "movement"},
    "l0": {"name": "l0", "penalty": 100, "learning_rate": 0.1},
    "magnitude": {"name": "magnitude"},
}
LEARNED = ("soft movement", "movement", "l0")
PROTOTYPES = {"fine-pruning": 0, "splopa 64": 64, "splopa 128": 128}
RATES: dict[str, dict[str, float]] = {
    "fine-pruning": {"rate": 1e-4, "scores": 5e-2},
    "splopa": {"rate": 1e-3, "scores": 5e-2, "positions": 1e-2},
}
TRIED = [
    *({"adapter": "fine-pruning", "rate": rate, "scores": scores}
      for rate, scores in ((3e-5, 1e-2), (1e-4, 1e-2), (1e-4, 5e-2))),
    *({"adapter": "splopa 64", "rate": rate, "scores": 1e-2, "positions": positions}
      for rate, positions in ((1e-4, 1e-3), (1e-3, 1e-3), (1e-3, 1e-2))),
    {"adapter": "splopa 64", "rate": 1e-3, "scores": 5e-2, "positions": 1e-2},
]  # fmt: skip
EPOCHS = {"sst2": 2, "squad": 2}


def cell(criterion: str, adapter: str, density: float, seed: int = 0, task: str = "sst2") -> dict:
    return {
        "task": task, "criterion": criterion, "adapter": adapter, "density": density, "seed": seed,
    }  # fmt: skip


MAIN = ("fine-pruning", "splopa 64")
CELLS = [
    *(cell("soft movement", adapter, density, seed)
      for seed in (0, 1, 2) for density in (0.3, 0.1) for adapter in MAIN),
    *(cell("soft movement", "splopa 128", density) for density in (0.3, 0.1)),
    *(cell("soft movement", adapter, 0.3, task="squad") for adapter in MAIN),
    *(cell(criterion, adapter, density)
      for density in (0.3, 0.1) for criterion in ("l0", "movement", "magnitude")
      for adapter in MAIN),
]  # fmt: skip


def recipe_of(
    task: str, criterion: str, adapter: str, density: float, seed: int, split: str,
    epochs: float, rates: dict[str, float],
) -> dict[str, Any]:  # fmt: skip
    score, prototypes = dict(CRITERIA[criterion]), PROTOTYPES[adapter]
    if criterion in LEARNED:
        score = {"learning_rate": rates["scores"], **score}
    return {
        "model": model_of(task),
        "task": task_of(task, split),
        "sites": {"grid": "32x32", "match": ".*encoder.*", "types": "Linear"},
        "score": score,
        "budget": {"density": density, "metric": "weights"},
        "adapt": adapt_of(prototypes, rates) if prototypes else None,
        "drive": {
            "name": "gradual",
            "schedule": {
                "name": "cubic", "warmup": "0.2 epochs", "cooldown": "0.8 epochs",
                "every": "1 step",
            },
        },
        "training": {
            "epochs": epochs, "batch_size": 32, "learning_rate": rates["rate"], "weight_decay": 0,
        },
        "evaluation": {"split": split, "baselines": False},
        "latency": None,
        "seed": seed,
    }  # fmt: skip


def adapt_of(prototypes: int, rates: dict[str, float]) -> dict[str, Any]:
    return {
        "name": "splopa", "prototypes": prototypes, "rank": 2, "init_range": 1e-4,
        "learning_rate": rates["positions"],
    }  # fmt: skip


def model_of(task: str) -> str:
    if task == "sst2":
        return str(Path(os.environ["PRUNUS_MODELS"]) / "minilm-l6-sst2")
    return str(ROOT / "runs/dense/squad")


def task_of(task: str, split: str) -> dict[str, Any]:
    sizes = {"train": 8000 if task == "sst2" else 1500}
    splits = sizes if split == "validation" else {**sizes, split: 1000}
    if task == "sst2":
        return {"name": "glue", "subset": "sst2", "max_length": 64, "splits": splits}
    return {
        "name": "question_answering", "data": "rajpurkar/squad", "config": "plain_text",
        "max_length": 192, "stride": 64,
        "splits": splits,
    }  # fmt: skip


def measure(
    task: str, criterion: str, adapter: str, density: float, seed: int,
    split: str = "validation", epochs: float | None = None,
    rates: dict[str, float] | None = None,
) -> dict[str, Any]:  # fmt: skip
    import torch

    from prunus.recipe import Recipe
    from prunus.recipe.run import run

    torch.set_num_threads(1)
    rates = rates or RATES[adapter.split()[0]]
    settings = recipe_of(
        task, criterion, adapter, density, seed, split, epochs or EPOCHS[task], rates
    )
    with tempfile.TemporaryDirectory() as folder:
        report = run(Recipe.model_validate(settings), Path(folder) / "run", quiet=True)
        scores = answers(Path(folder) / "run", settings["task"]) if split == "validation" else ""
    return {
        "metric": report.quality.metric,
        "dense": report.quality.dense,
        "pruned": report.quality.pruned,
        "density": report.density.of_sites,
        "trained": report.trained or report.params.pruned,
        "seconds": report.seconds.model_dump()["train"],
        "scores": scores,
    }


def tuned(adapter: str, **rates: float) -> dict[str, Any]:
    found = measure("sst2", "soft movement", adapter, 0.1, 0, "development", 2, rates)
    return {key: found[key] for key in ("dense", "pruned", "density", "seconds")}


def answers(folder: Path, settings: dict[str, Any]) -> str:
    """The score of every example, in percent, as two hexadecimal digits each."""
    from prunus.recipe.checkpoints import evaluate

    found = evaluate(str(folder / "model"), settings, "validation", 32, quiet=True).scores
    return "".join(f"{round(100 * float(score)):02x}" for score in found)


def scores_of(text: str) -> list[int]:
    return [int(text[place : place + 2], 16) for place in range(0, len(text), 2)]


def paired(ones: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    """Points by which some rows are better than others, and twice their standard error.

    Examples are the same, and seeds are averaged over; the error is over examples.
    """
    each = [[scores_of(row["scores"]) for row in group] for group in (ones, others)]
    means = [[statistics.mean(own) for own in zip(*group, strict=True)] for group in each]
    apart = [one - other for one, other in zip(*means, strict=True)]
    error = statistics.pstdev(apart) / math.sqrt(len(apart))
    return f"{statistics.mean(apart):+.2f} ± {1.96 * error:.2f}"


def table() -> None:
    found = defaultdict[tuple, list[dict[str, Any]]](list)
    for row in rows("blocks"):
        key = tuple(row["cell"][name] for name in ("task", "criterion", "density", "adapter"))
        found[key].append(row)
    print("| task | criterion | density | adapter | quality | seeds | spread | trained | to all |")
    print("|---|---|---:|---|---:|---:|---|---:|---|")
    for (task, criterion, density, adapter), group in found.items():
        values = [row["pruned"] for row in group]
        whole = found.get((task, criterion, density, "fine-pruning"), [])
        against = "" if adapter == "fine-pruning" or not whole else paired(group, whole)
        spread = f"{min(values):.2f} to {max(values):.2f}" if len(values) > 1 else ""
        print(
            f"| {task} | {criterion} | {group[0]['density']:.3f} | {adapter}"
            f" | {statistics.mean(values):.2f} | {len(values)} | {spread}"
            f" | {group[0]['trained']:,} | {against} |"
        )


def is_of(own: dict[str, Any], name: str) -> bool:
    return own["adapter"].startswith(name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--only", default="", help="how an adapter's name begins")
    asked = parser.parse_args()
    cells = [own for own in (TRIED if asked.tune else CELLS) if is_of(own, asked.only)]
    if asked.tune:
        fill("blocks_rates", cells, tuned)
    elif not asked.table:
        fill("blocks", cells, measure)
    if not asked.tune:
        table()


if __name__ == "__main__":
    main()
