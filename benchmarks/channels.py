"""Channels of a CIFAR ResNet-20: criteria, adapters, and torch-pruning by the same loop.

    prunus train digits/cifar model.weights=FILE --out runs/dense/cifar
    PRUNUS_DATA=... python benchmarks/channels.py [--table] [--part I/N]

FILE are weights of a ResNet-20 for CIFAR-10. Every cell removes channels in five steps, trains an
epoch (6,000 images) after each but the last and three after that, and is then a small network:
widths, no zeros. Learning rates were chosen by Taylor at a quarter of the FLOPs on 1,000 rows of
the training split, with the other 9,000 to learn from (``--tune``); the validation split is only
looked at here. torch-pruning (1.6.1, not
installed with prunus: ``pip install --no-deps torch-pruning==1.6.1``) prunes what it can follow:
the inner channels of the blocks, since the shortcut pads channels with zeros. Two minutes a cell
on one thread; ``--part 0/2`` and ``--part 1/2`` run side by side. ``--table`` measures
nothing.
"""

import argparse
import math
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from cells import fill, rows

ROOT = Path(__file__).parents[1]
DENSE = ROOT / "runs/dense/cifar"
CRITERIA: dict[str, dict[str, Any]] = {
    "weight": {"name": "magnitude", "of": "outputs", "folded": True, "normalize": "l1"},
    "gradient": {"name": "activation_gradient", "normalize": "l2"},
    "taylor": {"name": "taylor", "at": "outputs", "per": "batch", "normalize": "l2"},
    "lrp": {"name": "lrp", "normalize": "l1"},
    "taylor at masks": {"name": "taylor"},
    "gradual": {"name": "snip_momentum"},
}
"""The four of the adapters' paper, as it has them; ours, weighed against FLOPs; and that of
``drive: gradual``, which removes channels inside of a single training of as many epochs."""
ADAPTERS: dict[str, dict[str, Any] | None] = {
    "fine-pruning": None,
    "splora r8": {"name": "splora", "rank": 8},
    "splora r32": {"name": "splora", "rank": 32},
    "lora r8": {"name": "lora", "rank": 8},
}
RATES = {"fine-pruning": 0.1, "splora r8": 0.2, "splora r32": 0.2, "lora r8": 0.2}
TRIED = [
    *({"adapter": "splora r32", "rate": rate} for rate in (0.05, 0.2)),
    *({"adapter": "fine-pruning", "rate": rate} for rate in (0.02, 0.05)),
    {"adapter": "splora r32", "rate": 0.5},
    {"adapter": "fine-pruning", "rate": 0.1},
]
STEPS, RECOVERY, AFTER, BATCH, SCORED, ROWS = 5, 1.0, 3.0, 128, 1024, 6000


EPOCHS = (STEPS - 1) * RECOVERY + AFTER
STEPWISE = {
    "name": "stepwise", "steps": STEPS, "recovery": RECOVERY, "after": AFTER, "save": False,
}  # fmt: skip
GRADUAL = {"name": "gradual", "schedule": {"name": "cubic", "cooldown": f"{AFTER:g} epochs"}}


def cell(criterion: str, adapter: str, density: float, seed: int = 0, **more: Any) -> dict:
    return {"criterion": criterion, "adapter": adapter, "density": density, "seed": seed, **more}


def rival(criterion: str, density: float, seed: int = 0) -> dict:
    return cell(criterion, "fine-pruning", density, seed, by="torch-pruning")


METHODS = ("fine-pruning", "splora r8", "splora r32")
PUBLISHED = ("weight", "gradient", "taylor", "lrp")
CELLS = [
    *(cell("taylor", adapter, 0.25) for adapter in METHODS),
    cell("taylor at masks", "fine-pruning", 0.25),
    *(rival(criterion, 0.25) for criterion in ("weight", "taylor")),
    *(cell(criterion, "fine-pruning", 0.25) for criterion in ("weight", "gradient", "lrp")),
    *(cell("taylor", adapter, 0.1) for adapter in METHODS),
    *(rival(criterion, 0.25, seed) for seed in (1, 2) for criterion in ("weight", "taylor")),
    *(cell("taylor at masks", "fine-pruning", 0.25, seed) for seed in (1, 2)),
    *(cell("taylor", adapter, 0.25, seed) for seed in (1, 2) for adapter in METHODS),
    *(cell(criterion, adapter, 0.25)
      for criterion in ("weight", "gradient", "lrp") for adapter in ("splora r8", "splora r32")),
    *(cell("gradual", "fine-pruning", 0.25, seed) for seed in (0, 1, 2)),
    *(cell("taylor", "lora r8", density) for density in (0.25, 0.1)),
    *(cell(criterion, adapter, 0.5) for adapter in METHODS for criterion in PUBLISHED),
]  # fmt: skip


def recipe_of(
    criterion: str, adapter: str, density: float, seed: int, split: str, rate: float
) -> dict[str, Any]:
    return {
        "model": str(DENSE),
        "task": {
            "name": "image_classification", "data": "cifar10",
            "splits": {"train": ROWS} if split == "validation" else {split: 1000},
        },
        "sites": "channels",
        "score": CRITERIA[criterion],
        "budget": {"density": density, "metric": "flops", "of": "model"},
        "drive": GRADUAL if criterion == "gradual" else STEPWISE,
        "adapt": ADAPTERS[adapter],
        "training": {
            "optimizer": "sgd", "learning_rate": rate, "weight_decay": 5e-4, "scheduler": "cosine",
            "batch_size": BATCH, **({"epochs": EPOCHS} if criterion == "gradual" else {}),
        },
        "calibration": {"split": "train", "samples": SCORED, "batch_size": 64},
        "evaluation": {"split": split, "batch_size": 100, "baselines": False},
        "latency": {"batch": 64, "pairs": 7},
        "seed": seed,
    }  # fmt: skip


def measure(
    criterion: str, adapter: str, density: float, seed: int, by: str = "prunus",
    split: str = "validation", rate: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    import torch

    from prunus.recipe import Recipe

    torch.set_num_threads(1)
    rate = RATES[adapter] if rate is None else rate
    recipe = Recipe.model_validate(recipe_of(criterion, adapter, density, seed, split, rate))
    return by_rival(recipe, criterion, density) if by == "torch-pruning" else by_prunus(recipe)


def by_prunus(recipe: Any) -> dict[str, Any]:
    from prunus.recipe.run import run

    with tempfile.TemporaryDirectory() as folder:
        report = run(recipe, Path(folder) / "run", quiet=True)
        model = opened(Path(folder) / "run" / "model")
        right = answers(model, recipe)
    return {
        "dense": report.quality.dense,
        "pruned": report.quality.pruned,
        "trained": report.trained or report.params.pruned,
        "parameters": [report.params.dense, report.params.pruned],
        "flops": [report.flops.dense, report.flops.pruned],
        "speedup": report.latency_ms[0].speedup,
        "seconds": report.seconds.model_dump()["train"],
        "right": right,
    }


def opened(folder: Path) -> Any:
    import prunus

    return prunus.load(folder).eval()


def prepared_of(recipe: Any, model: Any) -> Any:
    from prunus.recipe._open import data_of, processor_of
    from prunus.recipe._parts import parts

    chosen = parts(recipe)
    processor = processor_of(chosen.task, DENSE)
    return chosen, data_of(recipe, chosen, model, processor)


def answers(model: Any, recipe: Any) -> str:
    """Which examples a network gets right, as hexadecimal digits of one bit each."""
    import torch

    split = recipe.evaluation.split
    _, prepared = prepared_of(recipe, model)
    bits = ""
    with torch.no_grad():
        for batch in prepared.batches(split, 100):
            labels = batch["labels"]
            right = model(pixel_values=batch["pixel_values"]).logits.argmax(-1) == labels
            bits += "".join("01"[int(bit)] for bit in right)
    return f"{len(bits)}:{int(bits, 2):x}"


def by_rival(recipe: Any, criterion: str, density: float) -> dict[str, Any]:
    """The same loop with torch-pruning's importance, dependencies and cuts."""
    import copy
    import time

    import torch_pruning
    from torch import nn

    from prunus.drive import Learning
    from prunus.loss import Objective
    from prunus.measure.latency import latency
    from prunus.measure.size import parameters
    from prunus.probe.work import flops, single
    from prunus.safe import SafePoints

    dense = opened(DENSE)
    chosen, prepared = prepared_of(recipe, dense)
    model = copy.deepcopy(dense)
    batches = prepared.batches("train", 64, SCORED)
    one = single({"pixel_values": batches[0]["pixel_values"]})
    kinds = {
        "weight": torch_pruning.importance.MagnitudeImportance(p=1, normalizer="mean"),
        "taylor": torch_pruning.importance.TaylorImportance(normalizer="mean"),
    }
    inner = {name for name, module in model.named_modules() if name.endswith(".conv1")}
    convs = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    pruner = torch_pruning.pruner.MetaPruner(
        logits_of(model), one["pixel_values"], importance=kinds[criterion], global_pruning=True,
        pruning_ratio=0.98, max_pruning_ratio=0.98, iterative_steps=400,
        ignored_layers=[m for n, m in convs.items() if n not in inner],
    )  # fmt: skip
    learning = Learning(prepared, chosen.training, Objective(chosen.losses, dense))
    whole, seconds = flops(model, one), 0.0
    for step in range(1, STEPS + 1):
        aim = whole * (1 - (1 - density) * step / STEPS)
        model.requires_grad_(True)
        model.zero_grad()
        for batch in batches if criterion == "taylor" else ():
            model(**batch).loss.backward()
        while flops(model, one) > aim:
            pruner.step()
        model.zero_grad()
        began = time.perf_counter()
        epochs = AFTER if step == STEPS else RECOVERY
        learning.lasting(epochs).train(model, None, lambda *_: None, SafePoints(), f"after {step}")
        seconds += time.perf_counter() - began
        model.eval()
    right = answers(model, recipe)
    n, digits = right.split(":")
    batch = {"pixel_values": batches[0]["pixel_values"]}
    timed = latency(dense, model, batch, pairs=7)
    return {
        "pruned": 100 * int(digits, 16).bit_count() / int(n),
        "trained": parameters(model),
        "parameters": [parameters(dense), parameters(model)],
        "flops": [whole, flops(model, one)],
        "speedup": timed.speedup,
        "seconds": seconds,
        "right": right,
    }


def table() -> None:
    """One row a criterion, adapter, density and tool; the best rows paired with the rival's."""
    found = defaultdict(list)
    for row in rows("channels"):
        own = row["cell"]
        key = own["density"], own.get("by", "prunus"), own["criterion"], own["adapter"]
        found[key].append(row)
    print(
        "| FLOPs | by | criterion | trained by | seeds | accuracy (min to max) | trained parameters"
        " | parameters | speed-up |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for (density, by, criterion, adapter), own in sorted(found.items(), reverse=True):
        pruned = [row["pruned"] for row in own]
        span = f" ({min(pruned):.2f} to {max(pruned):.2f})" if len(own) > 1 else ""
        print(
            f"| {density} | {by} | {criterion} | {adapter} | {len(own)} |"
            f" {statistics.mean(pruned):.2f}{span} | {own[0]['trained']:,} |"
            f" {own[0]['parameters'][1]:,} |"
            f" {statistics.mean(row['speedup'] for row in own):.2f} |"
        )
    for density in sorted({key[0] for key in found}):
        _paired(density, {key[1:]: own for key, own in found.items() if key[0] == density})


def _paired(density: float, found: dict[tuple[str, ...], list[dict]]) -> None:
    """Our best against the rival's best, on the same examples, seed by seed."""
    best: dict[str, tuple[str, ...]] = {}
    for key, own in found.items():
        if key[0] not in best or _mean(own) > _mean(found[best[key[0]]]):
            best[key[0]] = key
    if len(best) < 2:
        return
    ours, theirs = found[best["prunus"]], found[best["torch-pruning"]]
    pairs = list(zip(ours, theirs, strict=False))
    apart = [_difference(one["right"], other["right"]) for one, other in pairs]
    mean = statistics.mean(d for d, _ in apart)
    margin = statistics.mean(m for _, m in apart)
    print(
        f"\nAt {density}: {' '.join(best['prunus'])} - {' '.join(best['torch-pruning'])}:"
        f" {mean:+.2f} ± {margin:.2f} points (mean of {len(pairs)} seeds, 95 % of one pair)"
    )


def _mean(own: list[dict]) -> float:
    return statistics.mean(row["pruned"] for row in own)


def _difference(one: str, other: str) -> tuple[float, float]:
    """Points, and half the width of their 95 % interval, paired by example."""
    count = int(one.split(":")[0])
    a, b = (int(text.split(":")[1], 16) for text in (one, other))
    won, lost = (a & ~b).bit_count() / count, (b & ~a).bit_count() / count
    return 100 * (won - lost), 196 * math.sqrt((won + lost - (won - lost) ** 2) / count)


def learnt_at(adapter: str, rate: float) -> dict[str, float]:
    """How good a learning rate is, by rows of the training split."""
    found = measure("taylor", adapter, 0.25, 0, split="development", rate=rate)
    return {"pruned": found["pruned"]}


def logits_of(model: Any) -> Any:
    """A module that gives logits alone, as torch-pruning wants."""
    from torch import nn

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: Any) -> Any:
            return self.model(pixel_values=pixel_values).logits

    return Logits()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--part", default="0/1")
    given = parser.parse_args()
    part, of = map(int, given.part.split("/"))
    if given.tune:
        fill("channels_rates", TRIED[part::of], learnt_at)
    elif not given.table:
        fill("channels", CELLS[part::of], measure)
    table()
