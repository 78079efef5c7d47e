"""Carries a recipe out: prune, shrink, save, open again, measure, report."""

from functools import partial
from pathlib import Path

from prunus import ranks
from prunus.errors import PrunusError
from prunus.measure.memory import Peak, peak_memory
from prunus.measure.phases import Phases
from prunus.recipe._bars import Bars
from prunus.recipe._card import write_card
from prunus.recipe._detail import detail
from prunus.recipe._exports import export_all, require
from prunus.recipe._fresh import difference
from prunus.recipe._frontier import frontier
from prunus.recipe._log import logged
from prunus.recipe._model import Recipe, Settings
from prunus.recipe._open import REPORT, folder_of, searches
from prunus.recipe._parts import Parts, parts, resolved
from prunus.recipe._read import written
from prunus.recipe._report import Findings, report_of
from prunus.recipe._stage import Stage
from prunus.recipe._steps import (
    baselines,
    compare_all,
    open_all,
    prune,
    save_all,
    touched_up,
    trim_all,
)
from prunus.recipe._times import time_all
from prunus.recipe.sensitivity import informed
from prunus.report import Report, read, write
from prunus.safe import RECIPE, Work, differing
from prunus.tracking import Values, tell, tracked

TRACKING = "tracking"


def run(
    recipe: Recipe,
    out: str | Path,
    quiet: bool = False,
    resume: bool = False,
    patience: float = 0.0,
) -> Report:
    """Carry a recipe out.

    The folder appears complete, at the end: ``model/`` with its tokenizer and its card,
    ``plan.safetensors``, ``recipe.yaml`` with every default spelt out, ``report.json``,
    ``report.html``, ``run.log``; ``tracking/`` where something tracks; ``sensitivity.*`` where
    select: measured measures first; a folder for each export; and ``adapters/``, what
    :func:`prunus.checkpoint.load_adapters` puts back onto the dense model, where drive: stepwise
    trained any. Until then everything lies in ``OUT.checkpoints``, with the safe points from which
    a run that is cut off goes on. Of processes that share the run (:mod:`prunus.ranks`) the first
    one alone writes, times and exports.

    Args:
        recipe: what to do.
        out: the run's folder; an older run there is replaced at the end.
        quiet: show no progress.
        resume: go on from the safe points of a run that was cut off; where there are none, begin
            at the beginning, unless the run is done already.
        patience: seconds in which another run in ``out`` may end.

    Raises:
        PrunusError: whatever is wrong with the recipe, the model, the data or the budget; ``out``
            holds something else, or another process works there; there are safe points of another
            recipe, or nobody asked to go on from them; or what was saved is not what was measured.
    """
    out, source = Path(out), folder_of(recipe.model)
    _require_ours(out, source)
    chosen = parts(recipe)
    require(chosen, recipe.latency)
    settings = resolved(recipe, chosen)
    every = None if recipe.save is None else 60 * recipe.save.minutes
    work = Work(out, settings, every, recipe.seed, resume, patience)

    def done() -> Report | None:
        ended = resume and not work.folder.exists() and is_done(out, settings)
        return read(out) if ended else None

    with ranks.together(recipe.device), work.alone():
        found = ranks.by_first(done)
        if not ranks.number(found is not None):
            found = _worked(recipe, chosen, work, source, quiet)
        told = ranks.shared(b"" if found is None else found.model_dump_json().encode())
    return found or Report.model_validate_json(told)


def _worked(recipe: Recipe, chosen: Parts, work: Work, source: Path, quiet: bool) -> Report | None:
    """The report, of the first rank, once everything lies in the run's folder."""
    with (
        work.begun() as (folder, safe),
        logged(folder / "run.log") as log,
        Bars(quiet) as bars,
        peak_memory(before=safe.told.get("peak", 0)) as peak,
        tracked(recipe.track, folder / TRACKING, work.out.name, work.settings),
    ):
        watch = Phases(safe.told.get("seconds"))
        stage = Stage(recipe, chosen, folder, work.out, bars, log, safe, watch)
        stage.begin(work.resume, peak)
        report = _carry_out(stage, dict(work.settings), source, peak)
        if report is not None:
            write(report, folder)
            write_card(report, recipe, chosen.task, folder / "model", source)
            tell(partial(_summary, report))
        log.info("done")
    return report


def is_done(out: Path, settings: Settings) -> bool:
    """Whether a folder holds the finished run of a recipe.

    Args:
        out: the folder.
        settings: the recipe with every default spelt out.
    """
    return (out / REPORT).is_file() and not differing(out, settings)


def _summary(report: Report) -> Values:
    """What a run comes to, in numbers."""
    speedups = {f"speedup/{one.runtime}/{one.batch}": one.speedup for one in report.latency_ms}
    seconds = {f"seconds/{phase}": spent for phase, spent in report.seconds.model_dump().items()}
    sizes = {"params": report.params, "bytes": report.bytes, "flops": report.flops}
    shares = {f"density/{what}": pair.pruned / pair.dense for what, pair in sizes.items()}
    return {**speedups, **seconds, **shares}


def _require_ours(out: Path, source: Path) -> None:
    """The folder is replaced as a whole, so it must hold a run, and not the model to be pruned."""
    if source.resolve().is_relative_to(out.resolve()):
        raise PrunusError(f"{out} holds the model to be pruned; choose another folder for the run")
    empty = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if not empty and not (out / REPORT).is_file():
        raise PrunusError(
            f"{out} exists and is no run of prunus; choose another folder or remove it"
        )


def _carry_out(stage: Stage, settings: Settings, source: Path, peak: Peak) -> Report | None:
    """The report, of the first rank."""
    stage.safe.reseed("run")
    text = written(settings)
    (stage.folder / RECIPE).write_text(text, encoding="utf-8")
    stage.log.info("recipe:\n%s", text)
    opened = open_all(stage, source, searches(stage.parts))
    dense = stage.evaluate(opened.model, opened.prepared, "dense")
    opened = trim_all(stage, opened)
    stage, sensitivity = informed(stage, opened)
    cut = prune(stage, opened)
    reloaded = ranks.number(ranks.by_first(lambda: save_all(stage, opened, cut)) or 0.0)
    pruned = stage.evaluate(cut.model, opened.prepared, "pruned")
    qualities = dense, pruned
    compared = compare_all(stage, opened, cut, pruned)

    def findings() -> Findings:
        return Findings(
            settings=settings,
            qualities=qualities,
            detail=detail(opened.prepared, stage.recipe.evaluation, *qualities),
            baselines=baselines(stage, opened.prepared),
            touch_up=touched_up(stage, cut, pruned),
            compared=compared,
            frontier=frontier(stage, cut, qualities),
            sensitivity=sensitivity,
            histories=cut.job.history,
            composed=cut.job.composed,
            models=(opened.whole, cut.model),
            trained=cut.job.learnt,
            claims=cut.claims,
            cost=cut.job.cost,
            plan=cut.plan | opened.vocab,
            vocabulary=opened.told,
            times=time_all(stage, opened, cut),
            exports=export_all(stage, opened, pruned),
            equivalence={
                "masked_vs_shrunk": cut.apart,
                "dense_vs_shrunk": difference(cut.dense, cut.shrunk),
                "reloaded_vs_shrunk": reloaded,
            },
            calibration=opened.calibration,
            lengths=opened.lengths,
            seconds=stage.watch.seconds,
            peak=peak.bytes,
        )

    return ranks.by_first(lambda: report_of(stage.recipe, findings()))
