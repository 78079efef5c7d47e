"""What each site of a recipe's model loses as its units go, everything else dense."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from transformers import set_seed

from prunus import ranks
from prunus.anatomy import anatomy
from prunus.drive import Job, job_of
from prunus.errors import PrunusError
from prunus.files import sweep, write_bytes
from prunus.held import held
from prunus.recipe._bars import Bars
from prunus.recipe._journal import Journal
from prunus.recipe._log import logged
from prunus.recipe._model import Recipe
from prunus.recipe._open import folder_of, measures
from prunus.recipe._parts import parts
from prunus.recipe._sensitive import Measuring
from prunus.recipe._stage import Stage
from prunus.recipe._steps import Opened, open_all, trim_all
from prunus.report import sensitivity_page
from prunus.safe import Kept, scratch
from prunus.sensitivity import Sensitivity

DENSITIES = (0.9, 0.75, 0.5, 0.25, 0.1, 0.0)
WHAT = "sensitivity"


def sensitivity(
    recipe: Recipe,
    out: str | Path,
    densities: Sequence[float] = DENSITIES,
    minutes: float = 5.0,
    metric: bool = False,
    quiet: bool = False,
) -> Sensitivity:
    """Measure for so long, or go on where an earlier call ended.

    Units go by the recipe's criterion, the lowest scores first; nothing is mended. Losses are
    divergences from the dense model's answers on a development split, which scores do not see. The
    folder holds ``sensitivity.jsonl``, what was measured as it was measured, ``sensitivity.json``,
    the table, ``sensitivity.html`` and ``run.log``.

    Args:
        recipe: its model, task, calibration data, sites, criterion, and the budget's ``round_to``.
        out: the folder; what is in it is kept.
        densities: fractions of each site's units that stay, from 0 on and below 1.
        minutes: how long is measured, when the units are scored.
        metric: measure the task's metric as well, which takes about as long again.
        quiet: show no progress.

    Raises:
        PrunusError: whatever is wrong with the recipe, the model or the data; ``out`` holds
            measurements of something else, or another process measures there; or the time is
            too short for any.
    """
    _require_densities(densities)
    out, source = Path(out), folder_of(recipe.model)
    with (
        ranks.together(recipe.device),
        _place(out) as folder,
        logged(folder / "run.log") as log,
        Bars(quiet) as bars,
    ):
        stage = Stage(recipe, parts(recipe), folder, out, bars, log)
        set_seed(recipe.seed)
        opened = trim_all(stage, open_all(stage, source, WHAT))
        return _measured(stage, opened, densities, minutes, metric)


@contextmanager
def _place(out: Path) -> Iterator[Path]:
    """The folder, which the first rank holds; the others have a copy of what was measured."""
    journal = f"{WHAT}.jsonl"
    if ranks.first():
        out.mkdir(parents=True, exist_ok=True)
        with held(out / f".{WHAT}.lock", f"{out}: a {WHAT} is going on there already"):
            sweep(out)
            known = out / journal
            ranks.shared(known.read_bytes() if known.exists() else b"")
            yield out
    else:
        with scratch(out) as folder:
            write_bytes(folder / journal, ranks.shared(b""))
            yield folder


def informed(stage: Stage, opened: Opened) -> tuple[Stage, Sensitivity | None]:
    """A run with a selector that knows what it asks to be measured first.

    Returns:
        The stage, and what was measured in its folder; None where nothing had to be.
    """
    select = stage.parts.select
    if not measures(select):
        return stage, None
    rows = Journal(stage.folder / f"{WHAT}.jsonl").rows  # of a run that was cut off
    minutes = select.minutes - sum(row["seconds"] for row in rows) / 60
    with stage.phase(WHAT):
        found = stage.safe.once(
            WHAT, lambda: _measured(stage, opened, DENSITIES, minutes, metric=False),
            lambda own: Kept(own.model_dump(mode="json")),
            lambda kept: Sensitivity.model_validate(kept.said),
        )  # fmt: skip
    known = select.model_copy(update={"table": str(stage.folder), "minutes": None})
    return replace(stage, parts=replace(stage.parts, select=known)), found


def _measured(
    stage: Stage, opened: Opened, densities: Sequence[float], minutes: float, metric: bool
) -> Sensitivity:
    """Measure in the stage's folder."""
    journal = Journal(stage.folder / f"{WHAT}.jsonl")
    measuring = Measuring(stage, _job(stage, opened), opened.prepared, densities, metric, journal)
    measuring.begin(60 * minutes)
    try:
        measuring.run(60 * minutes)
    finally:  # also what was interrupted leaves a table
        if journal.rows:
            write(measuring.table(), stage.folder)
    return measuring.table()


def write(found: Sensitivity, folder: Path) -> None:
    """The table as ``sensitivity.json`` and as ``sensitivity.html``."""
    write_bytes(folder / f"{WHAT}.json", found.model_dump_json(indent=1).encode())
    write_bytes(folder / f"{WHAT}.html", sensitivity_page(found).encode())


def _job(stage: Stage, opened: Opened) -> Job:
    """Only scores: nothing is chosen and nothing is mended."""
    recipe, chosen = stage.recipe, stage.parts
    budget = {"density": 1.0, "metric": "units", "round_to": chosen.budget.round_to}
    return job_of(
        opened.model, anatomy(opened.model).chosen(recipe.sites),
        stage.bars.over(opened.batches, "calibration data"),
        score=chosen.score, budget=budget, recover=(), scored=recipe.calibration.scored,
        precision=recipe.calibration.precision, phase=stage.watch, step=stage.step,
    )  # fmt: skip


def _require_densities(densities: Sequence[float]) -> None:
    if not densities or not all(0 <= density < 1 for density in densities):
        raise PrunusError(
            f"densities: {', '.join(map(str, densities)) or 'none'}: say fractions of each site's"
            " units that stay, from 0 on and below 1 (at 1 nothing is lost): --densities .75 .5 .25"
        )
