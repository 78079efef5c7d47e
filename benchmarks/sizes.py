"""Every size from one library, chosen by search: against uniform densities, and dedicated runs.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/sizes.py [--only t5] [--table]

- ``t5``: the small T5 on Multi30K; modules of eight densities, tuned once. For each of eight
  budgets of FLOPs, those of the uniform densities, the model that the search composes against the
  one of uniform density; nothing is trained after. BLEU on the validation split, paired.
- ``sst2``: MiniLM on SST-2; modules of fourteen densities in closed form, the composed model mended
  as a whole in closed form; against the retraining-free run of the recipe ``prunus`` of that size,
  which scores, selects and mends for this one size. Accuracy, paired.

One thread; libraries lie under runs/sizes. The T5's library takes about six minutes, SST-2's two; a
cell less than a minute.
"""

import argparse
import os
import time
from pathlib import Path

from cells import fill, rows

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "runs/sizes"
TABLE = "sizes"
UNIFORM = (0.125, 0.25, 0.3125, 0.375, 0.5, 0.625, 0.75, 0.875)
SIZES = (0.8, 0.65, 0.5, 0.4, 0.3, 0.2)
FINE = (0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MODELS = {"t5": "t5-multi30k", "sst2": "minilm-l6-sst2"}
TASKS = {
    "t5": {"name": "translation", "data": "bentrevett/multi30k", "max_new_tokens": 50,
           "splits": {"calibration": 1024}},
    "sst2": {"name": "glue", "subset": "sst2", "splits": {"calibration": 476}},
}  # fmt: skip
CLOSED = [{"name": "input_map", "ridge": 0.1}, {"name": "least_squares", "ridge": 0.03}]


def cells() -> list[dict]:
    """Every cell."""
    found = [{"on": "t5", "size": size} for size in UNIFORM]
    return found + [{"on": "sst2", "size": size} for size in SIZES]


def measure(on: str, size: float) -> dict:
    """The searched model and its rival of one size."""
    import torch

    from prunus.task import difference

    torch.set_num_threads(1)
    own, other = searched_and_uniform(size) if on == "t5" else searched_and_dedicated(size)
    apart = difference(own["quality"], other["quality"])
    told = {
        name: {
            "value": found["quality"].value, "density": found["density"], "cpu": found["cpu"],
            "loss": found["quality"].extra.get("loss"), "tuned": found["tuned"],
        }
        for name, found in (("searched", own), ("rival", other))
    }  # fmt: skip
    return told | {"ahead": apart.value, "margin": apart.margin}


def searched_and_uniform(size: float) -> tuple[dict, dict]:
    """The uniform model, and the searched one of as many FLOPs."""
    library = {"name": "library", "folder": str(RUNS / "t5")}
    how = {"score": "magnitude", "recover": ["least_squares", "modulewise"]}
    one = {"heads": size, "neurons": size}
    other = composed("t5", {"density": 1.0}, library | {"configurations": [one]}, how)
    budget = {"density": min(1.0, other["density"] + 1e-6)}
    return composed("t5", budget, library | {"densities": UNIFORM}, how), other


def searched_and_dedicated(size: float) -> tuple[dict, dict]:
    """The searched model, and the one that was made for this size."""
    library = {
        "name": "library", "folder": str(RUNS / "sst2"), "densities": FINE, "held": 0.25,
        "finish": CLOSED,
    }  # fmt: skip
    own = composed("sst2", {"density": size}, library, {"recover": CLOSED[1:]})
    return own, composed("sst2", {"density": size}, {"name": "oneshot"}, {"recover": CLOSED})


def composed(on: str, budget: dict, drive: dict, how: dict) -> dict:
    """One model, and what it cost."""
    import torch
    from transformers import AutoTokenizer

    import prunus
    from prunus.anatomy import anatomy
    from prunus.drive import finish, job_of
    from prunus.registry import build

    folder = Path(os.environ["PRUNUS_MODELS"]) / MODELS[on]
    model = prunus.load(folder, dtype=torch.float32).eval()
    task = build("task", TASKS[on])
    data = task.prepare(
        AutoTokenizer.from_pretrained(folder), num_labels=getattr(model.config, "num_labels", None)
    ).fitted(model.config)
    began = time.process_time()
    job = job_of(
        model, anatomy(model).of("heads", "neurons"), data.batches("calibration", 32),
        budget=budget, select="curves" if "score" not in how else "greedy",
        **{"score": "obs"} | how,
    )  # fmt: skip
    plan = build("drive", drive).run(job)
    small = finish(job, plan)
    cpu = time.process_time() - began
    names = dict.fromkeys(job.sites, 0)
    bare, full = job.cost(names), job.cost({})
    return {
        "quality": data.evaluate(small), "cpu": cpu,
        "density": (job.cost(plan.counts()) - bare) / (full - bare),
        "tuned": len(job.composed.filled.tuned) if job.composed else None,
    }  # fmt: skip


def show() -> None:
    """The figures as Markdown."""
    for on, rival in (("t5", "uniform"), ("sst2", "dedicated")):
        print(
            f"\n| {on}: FLOPs of what can be cut | searched | {rival} | ahead | CPU s | {rival} |"
        )
        print("|---|---|---|---|---|---|")
        for row in rows(TABLE):
            if row["cell"]["on"] == on:
                own, other = row["searched"], row["rival"]
                print(
                    f"| {own['density']:.3f} | {own['value']:.2f} | {other['value']:.2f} |"
                    f" {row['ahead']:+.2f} ± {row['margin']:.2f} | {own['cpu']:.0f}"
                    f" ({own['tuned']} tuned) | {other['cpu']:.0f} |"
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=tuple(MODELS), help="one model")
    parser.add_argument("--table", action="store_true", help="measure nothing, print the figures")
    said = parser.parse_args()
    if not said.table:
        fill(TABLE, [c for c in cells() if said.only in (None, c["on"])], measure)
    show()
