"""Composed models against the plain baseline: a small T5 on Multi30K, one thread.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/composability.py [--only gap] [--table]

Configurations keep a fraction of the heads, of the neurons, or of both, in every sublayer, chosen
by magnitude. Composed: every distinct module is tuned once (1,024 training pairs, ``recover:
[least_squares, modulewise]``). Baseline: ``recover: []``. Parts of the table:

- ``tune``: what tuning costs, all four configurations at once (``all``) or one alone.
- ``gap``: validation loss and BLEU before any training of the model.
- ``rates``: the learning rate of each arm, by the loss on 256 pairs of the training split, for
  neurons and for heads; where both are pruned it is that of the heads.
- ``train``: 120 steps of 64 pairs, rate falling to 0, a look at 400 validation pairs every 10.
- ``bleu``: BLEU of both arms after training, paired on the validation split.

Models and libraries lie under runs/composability. A run takes about a minute and a half.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from cells import fill, rows

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "runs/composability"
TABLE = "composability"
KINDS = {"neurons": ("neurons",), "heads": ("heads",), "both": ("heads", "neurons")}
DENSITIES = (0.25, 0.4, 0.5, 0.75)
RATES = (4e-4, 1.2e-3)
PICK = 2
"""The configuration that learning rates are chosen on, and that is tuned alone."""
ARMS = {"composed": None, "baseline": "recover=[]"}


def cells() -> list[dict]:
    """Every cell; those of a part need those of the parts before."""
    found = [{"part": "tune", "kind": kind, "of": "all"} for kind in ("neurons", "heads")]
    found += [{"part": "tune", "kind": kind, "of": "one"} for kind in ("neurons", "heads")]
    every = [(k, a, p) for k in KINDS for p in range(len(DENSITIES)) for a in ARMS]
    found += [{"part": "gap", "kind": k, "arm": a, "pick": p} for k, a, p in every if p != 1]
    found += [
        {"part": "rates", "kind": kind, "arm": arm, "rate": rate}
        for kind in ("neurons", "heads")
        for arm in ARMS
        for rate in RATES
    ]
    found += [{"part": "train", "kind": k, "arm": a, "pick": p} for k, a, p in every]
    return found + [
        {"part": "bleu", "kind": kind, "pick": pick}
        for kind in KINDS
        for pick in range(len(DENSITIES))
    ]


def measure(part: str, **cell: object) -> dict:
    """One cell."""
    return {"tune": tune, "gap": gap, "rates": rates, "train": train, "bleu": bleu}[part](**cell)


def recipe(kind: str, library: str = "all", configurations: object = None) -> list[str]:
    """What all runs of a kind share."""
    said = configurations or {name: list(DENSITIES) for name in KINDS[kind]}
    return [
        "composed", f"model={Path(os.environ['PRUNUS_MODELS']) / 't5-multi30k'}", "task.prefix=''",
        "task.splits.development=256", f"drive.configurations={json.dumps(said)}",
        f"drive.folder={RUNS / 'libraries' / library}", "latency=null",
        "evaluation.baselines=false", "evaluation.examples=0",
    ]  # fmt: skip


def prunus(*arguments: str) -> None:
    """One command, in a process of its own."""
    call = "from prunus.cli import main; raise SystemExit(main())"
    subprocess.run([sys.executable, "-c", call, *arguments, "--quiet"], check=True)


def run(name: str, kind: str, arm: str, pick: int, *more: str) -> dict:
    """The report of one run."""
    out = RUNS / name
    said = [*recipe(kind), f"drive.pick={pick}", *filter(None, [ARMS[arm]]), *more]
    prunus("run", *said, "--out", str(out))
    return json.loads((out / "report.json").read_text())


def tune(kind: str, of: str) -> dict:
    """CPU seconds of tuning, calibration counted."""
    one = {name: [DENSITIES[PICK]] for name in KINDS[kind]}
    said = recipe(kind, "all" if of == "all" else f"one-{kind}", None if of == "all" else one)
    out = RUNS / f"tune-{kind}-{of}"
    prunus("run", *said, "evaluation.split=development", "--out", str(out))
    told = json.loads((out / "report.json").read_text())["library"]
    return {key: told[key] for key in ("modules", "tuned", "reused", "cpu", "seconds")}


def gap(kind: str, arm: str, pick: int) -> dict:
    """Quality before training; composed ones need no tuning."""
    report = run(f"gap-{kind}-{arm}-{pick}", kind, arm, pick)
    quality, loss = report["quality"], report["metrics"]["loss"]
    return {
        "bleu": quality["pruned"], "loss": loss["pruned"], "dense_loss": loss["dense"],
        "dense_bleu": quality["dense"], "tuned": report["library"]["tuned"],
        "density": report["density"]["of_model"], "seconds": report["seconds"]["total"],
    }  # fmt: skip


def training(rate: float, split: str, samples: int) -> list[str]:
    """The training that both arms have."""
    return [
        "drive.recovery=120 steps", f"training.learning_rate={rate}", "training.batch_size=64",
        "training.precision=bfloat16", "training.warmup_ratio=0.05", "training.eval_steps=10",
        f"training.eval_split={split}", f"training.eval_samples={samples}",
        "evaluation.split=development",
    ]  # fmt: skip


def history(report: dict) -> list[dict]:
    """The looks of a run's training."""
    return [
        {key: point[key] for key in ("step", "cpu", "training", "validation")}
        for point in report["histories"][0]["points"]
    ]


def rates(kind: str, arm: str, rate: float) -> dict:
    """The lowest loss on pairs of the training split."""
    said = training(rate, "development", 256)
    points = history(run(f"rate-{kind}-{arm}-{rate:g}", kind, arm, PICK, *said))
    return {"loss": min(point["validation"] for point in points)}


def rate_of(kind: str, arm: str) -> float:
    """The learning rate that was chosen; where both are pruned, that of the heads."""
    kind = "neurons" if kind == "neurons" else "heads"
    found = [row for row in rows(TABLE) if row["cell"]["part"] == "rates"]
    own = [row for row in found if (row["cell"]["kind"], row["cell"]["arm"]) == (kind, arm)]
    return min(own, key=lambda row: row["loss"])["cell"]["rate"]


def train(kind: str, arm: str, pick: int) -> dict:
    """The validation loss along a training."""
    rate = rate_of(kind, arm)
    report = run(f"train-{kind}-{arm}-{pick}", kind, arm, pick, *training(rate, "validation", 400))
    return {"rate": rate, "tuned": report["library"]["tuned"], "points": history(report)}


def bleu(kind: str, pick: int) -> dict:
    """Both trained models on the validation split, compared sentence by sentence."""
    import torch

    import prunus as library
    from prunus.recipe import read
    from prunus.recipe._parts import parts
    from prunus.task import difference

    torch.set_num_threads(1)
    found, task = {}, parts(read(recipe(kind)[0], recipe(kind)[1:])).task
    for arm in ARMS:
        folder = RUNS / f"train-{kind}-{arm}-{pick}/model"
        model = library.load(folder, dtype=torch.float32).eval()
        prepared = task.prepare(task.processor(folder)).fitted(model.config)
        found[arm] = prepared.evaluate(model)
    apart = difference(found["composed"], found["baseline"])
    values = {arm: own.value for arm, own in found.items()}
    losses = {f"{arm}_loss": own.extra["loss"] for arm, own in found.items()}
    return values | losses | {"ahead": apart.value, "margin": apart.margin}


def show() -> None:
    """The figures as Markdown."""
    table = {json.dumps(row["cell"], sort_keys=True): row for row in rows(TABLE)}

    def row(**cell: object) -> dict | None:
        return table.get(json.dumps(cell, sort_keys=True))

    print("| pruned | density | loss pruned | composed | gap closed | BLEU pruned | composed |")
    print("|---|---|---|---|---|---|---|")
    for kind in KINDS:
        for pick, density in enumerate(DENSITIES):
            bare, own = (row(part="gap", kind=kind, arm=a, pick=pick) for a in reversed(ARMS))
            if bare and own:
                closed = (bare["loss"] - own["loss"]) / (bare["loss"] - own["dense_loss"])
                print(f"| {kind} | {density} | {bare['loss']:.3f} | {own['loss']:.3f} |"
                      f" {closed:.0%} | {bare['bleu']:.2f} | {own['bleu']:.2f} |")  # fmt: skip
    print("\n| kind | density | baseline's best | its CPU s | composed: loss at once |"
          " CPU s to it | alone | amortised | BLEU baseline | composed | ahead |")  # fmt: skip
    print("|" + "---|" * 11)
    for kind in KINDS:
        shared, alone = (
            sum((row(part="tune", kind=one, of=of) or {"cpu": 0.0})["cpu"] for one in KINDS[kind])
            for of in ("all", "one")
        )
        for pick, density in enumerate(DENSITIES):
            base, own = (row(part="train", kind=kind, arm=a, pick=pick) for a in reversed(ARMS))
            if base is None or own is None:
                continue
            best = min(base["points"], key=lambda point: point["validation"])
            reached = [p for p in own["points"] if p["validation"] <= best["validation"]]
            spent = reached[0]["cpu"] if reached else float("nan")
            said = row(part="bleu", kind=kind, pick=pick)
            told = (
                f"{said['baseline']:.2f} | {said['composed']:.2f} |"
                f" {said['ahead']:+.2f} ± {said['margin']:.2f}"
                if said
                else " | | "
            )
            print(f"| {kind} | {density} | {best['validation']:.3f} | {best['cpu']:.0f} |"
                  f" {own['points'][0]['validation']:.3f} | {spent:.0f} |"
                  f" {(spent + alone) / best['cpu']:.2f} |"
                  f" {(spent + shared / len(DENSITIES)) / best['cpu']:.2f} | {told} |")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="one part of the table")
    parser.add_argument("--kind", help="one kind")
    parser.add_argument("--table", action="store_true", help="measure nothing, print the figures")
    said = parser.parse_args()
    chosen = [
        cell
        for cell in cells()
        if said.only in (None, cell["part"]) and said.kind in (None, cell["kind"])
    ]
    if not said.table:
        fill(TABLE, chosen, measure)
    show()
