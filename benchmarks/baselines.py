"""The shipped recipe beside simpler ways to a small or fast model: tasks x densities, one thread.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/baselines.py [--only sst2] [--table]

Models, tasks and calibration texts are those of ``retraining_free.py``. A cell holds every baseline
of ``prunus run --baselines``, timed in batches of 8 sequences of 128 tokens, and takes about two
minutes on SST-2. ``--table`` measures nothing.
"""

import argparse

from cells import fill, rows
from retraining_free import dense_of, task_of

TABLE = "baselines"
CELLS = [{"task": "sst2", "density": density, "seed": 0} for density in (0.5, 0.2)]


def measure(task: str, density: float, seed: int) -> dict:
    """The dense model, the pruned one, and every baseline."""
    import torch
    from transformers import AutoTokenizer

    import prunus
    from prunus.anatomy import anatomy
    from prunus.drive import finish, job_of
    from prunus.plan import Plan
    from prunus.recipe import Evaluation, Latency, read
    from prunus.recipe._bars import Bars
    from prunus.recipe._measured import latencies
    from prunus.recipe._model import BASELINES
    from prunus.recipe._parts import build
    from prunus.recipe._rivals import Rivals
    from prunus.recipe.compare import compare
    from prunus.safe import SafePoints

    torch.set_num_threads(1)
    folder, recipe = dense_of(task), read("prunus")
    model = prunus.load(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    data = task_of(task).prepare(tokenizer, num_labels=model.config.num_labels, seed=seed)
    how = {key: getattr(recipe, key) for key in ("select", "recover")}
    job = job_of(
        model, anatomy(model).of(*recipe.sites), data.batches("calibration", 32),
        score=build("score", recipe.score, seed), budget={"density": density}, **how,
    )  # fmt: skip
    drive = build("drive", recipe.drive)
    plan = Plan(drive.run(job))
    small = finish(job, plan)
    dense, pruned = data.evaluate(model), data.evaluate(small)
    timed, rivals = Latency(batch=8, length=128, pairs=9), Rivals(job, plan, drive, seed)
    batch = {key: job.batches[0][key] for key in ("input_ids", "attention_mask")}
    with Bars(quiet=True) as bars:
        found = compare(
            BASELINES, rivals, data, pruned,
            evaluation=Evaluation(), latency=timed, length=128, bars=bars, safe=SafePoints(),
        )  # fmt: skip
        compared = [row.model_dump(mode="json") for row in found]
        speed = next(latencies((model, small), batch, timed, 128, bars))
    return {
        "metric": dense.metric,
        "dense": dense.value,
        "pruned": pruned.value,
        "stderr": pruned.stderr,
        "flops": rivals.flops(plan.counts()),
        "speedup": speed.speedup,
        "compared": compared,
    }


def table() -> None:
    """Markdown: a row for the pruned model and each baseline of every cell."""
    print("| task | density | model | quality | pruned is ahead by (95 %) | MFLOPs | speed-up |")
    print("|---|---|---|---|---|---|---|")
    for row in rows(TABLE):
        where = f"| {row['cell']['task']} | {row['cell']['density']} |"
        print(f"{where} pruned | {row['pruned']:.2f} ± {row['stderr']:.2f} | |"
              f" {row['flops'] / 1e6:.0f} | {row['speedup']:.2f} |")  # fmt: skip
        for own in row["compared"]:
            print(f"{where} {_cells(own)}")


def _cells(row: dict) -> str:
    if row["quality"] is None:
        return f"{row['name']} | {row['made']} | | | |"
    return (
        f"{row['name']} | {row['quality']:.2f} ± {row['stderr']:.2f}"
        f" | {row['ahead']:+.2f} ± {row['margin']:.2f} | {row['flops'] / 1e6:.0f}"
        f" | {row['latency_ms'][-1]['speedup']:.2f} |"
    )


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", action="store_true", help="print the table, measure nothing")
    parser.add_argument("--only", help="only cells of this task")
    chosen = parser.parse_args()
    if not chosen.table:
        fill(TABLE, (c for c in CELLS if chosen.only in (None, c["task"])), measure)
    table()


if __name__ == "__main__":
    main()
