"""Figures of runs beside each other: what is drawn, and the numbers behind it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.report._levels import Level, Part, stacked
from prunus.report._library import Library
from prunus.report._modules import errors, tuning
from prunus.report._page import svg
from prunus.report._picture import Key, Picture
from prunus.report._trainings import Look, compared, looks
from prunus.study._gathered import Gathered
from prunus.study._pareto import plots
from prunus.study._reached import Goal, Reached, goal, reached
from prunus.study._result import result_of
from prunus.study._table import comma_separated
from prunus.study._table import figures as numbers
from prunus.table import slug

UNSEEN = (
    "no run was looked at while it trained; say after how many steps to look:"
    " training.eval_steps: 10"
)


Seen = Mapping[str, list[list[Look]]]
"""{run: the looks of each of its trainings}."""


@dataclass(frozen=True)
class Figure:
    """Numbers, and the pictures of them by file name.

    Attributes:
        name: of the file of numbers.
        pictures: by what their files are called.
        head: titles of the numbers.
        rows: the numbers.
    """

    name: str
    pictures: Mapping[str, Picture]
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


def figures(runs: Sequence[Gathered], reach: float | None = None) -> list[Figure]:
    """Everything that can be drawn of some runs.

    Args:
        runs: those that are compared.
        reach: a value of the metric, or a loss, see :func:`prunus.study._reached.goal`.

    Raises:
        PrunusError: nothing can be drawn, or something shall be reached, and no run was looked at.
    """
    seen = [own for own in runs if any(part.points for part in own.histories)]
    if reach is not None and not seen:
        raise PrunusError(f"reach: {UNSEEN}")
    made = [
        *([_losses(seen), _reach(seen, goal(seen, reach))] if seen else []),
        *_composed(runs),
        *_sizes(runs),
    ]
    if not any(figure.pictures for figure in made):
        raise PrunusError(f"nothing to draw: {UNSEEN}; sizes are compared of two runs or more")
    return made


def trainings(runs: Sequence[Gathered]) -> dict[str, Picture]:
    """How losses fell and qualities rose, by name; nothing of runs that were not looked at."""
    return _curves(runs, _seen(runs))


def _seen(runs: Sequence[Gathered]) -> Seen:
    """The looks of every run that was looked at, by name."""
    return {
        own.name: looks(own.histories, own.tuning)
        for own in runs
        if any(part.points for part in own.histories)
    }


def _curves(runs: Sequence[Gathered], seen: Seen) -> dict[str, Picture]:
    if not seen:
        return {}
    metrics = dict.fromkeys(own.metric for own in runs if own.name in seen)
    pictures = {"losses": compared(seen, "validation", "Losses against processor time", "loss")}
    for metric in metrics:
        measured = {own.name: seen[own.name] for own in runs
                    if own.name in seen and own.metric == metric}  # fmt: skip
        name = slug("quality", *([metric] if len(metrics) > 1 else []))
        pictures[name] = compared(measured, "quality", f"{metric} against processor time", metric)
    return _drawn(pictures)


def _losses(runs: Sequence[Gathered]) -> Figure:
    seen = _seen(runs)
    head = (
        "run", "training", "step", "epoch", "cpu", "seconds", "training_loss", "validation_loss",
        "quality", "kept",
    )  # fmt: skip
    rows = [_look(name, own) for name, parts in seen.items() for part in parts for own in part]
    return Figure("losses", _curves(runs, seen), head, rows)


def _look(name: str, own: Look) -> Sequence[Any]:
    at = own.point
    return (
        name, own.training, at.step, at.epoch, own.cpu, at.seconds, at.training, at.validation,
        at.quality, int(own.kept),
    )  # fmt: skip


def _reach(runs: Sequence[Gathered], aim: Goal) -> Figure:
    found = reached(runs, aim)
    keys = [Key("c0 bar", "training")]
    if any(own.tuning for own in found):
        keys = [Key("c1 bar", "tuning of modules"), *keys]
    picture = stacked(f"Time to {aim}", [_way(own) for own in found], f"CPU seconds to {aim}", keys)
    head = ("run", "of", "value", "step", "tuning", "training", "cpu", "amortised")
    rows = [
        (
            own.name, aim.name, aim.value, own.look and own.look.point.step, own.tuning,
            own.training, own.look and own.look.cpu, own.amortised,
        )
        for own in found
    ]  # fmt: skip
    return Figure("reach", {"reach": picture}, head, rows)


def _way(own: Reached) -> Level:
    if own.training is None:
        return Level(f"{own.name} (never)", ())
    parts = ("tuning", own.tuning, "c1 bar"), ("training", own.training, "c0 bar")
    return Level(own.name, [Part(v, style, f"{what}: {v:.1f} s") for what, v, style in parts if v])


def _composed(runs: Sequence[Gathered]) -> Iterator[Figure]:
    """What is known of the modules of runs that were composed."""
    found = {own.name: own.library for own in runs if own.library is not None}
    if found:
        yield _modules(found)
        yield _tuning(found)
        yield _reuse(found)


def _modules(runs: Mapping[str, Library]) -> Figure:
    head = ("run", "site", "kind", "density", "pruned", "closed", "tuned", "loss", "reused", "used")
    rows = [(name, *(getattr(one, key) for key in head[1:]))
            for name, own in runs.items() for one in own.rows]  # fmt: skip
    return Figure("modules", _by_kind("modules", runs, errors), head, rows)


def _tuning(runs: Mapping[str, Library]) -> Figure:
    head = ("run", "site", "density", "epoch", "training", "validation")
    rows = [(name, one.site, one.density, at.epoch, at.training, at.validation)
            for name, own in runs.items() for one in own.rows for at in one.history]  # fmt: skip
    return Figure("tuning", _by_kind("tuning", runs, tuning), head, rows)


def _by_kind(
    what: str, runs: Mapping[str, Library], make: Callable[[Library], Mapping[str, Picture]]
) -> dict[str, Picture]:
    """Pictures of every kind of module, of each run for itself."""
    return {
        slug(what, *([name] if len(runs) > 1 else []), kind): picture
        for name, own in runs.items()
        for kind, picture in make(own).items()
    }


def _reuse(runs: Mapping[str, Library]) -> Figure:
    keys = Key("c3 bar", "reused"), Key("c0 bar", "tuned"), Key("c2 bar", "tuned, found broken")
    levels = []
    for name, own in runs.items():
        counts = zip((own.reused, own.tuned - own.redone, own.redone), keys, strict=True)
        parts = [Part(n, key.style, f"{name}: {n:,} {key.text}") for n, key in counts if n]
        levels.append(Level(name, parts))
    picture = stacked("Modules reused and tuned", levels, "modules", keys)
    head = ("run", "configurations", "modules", "used", "reused", "tuned", "redone", "seconds",
            "cpu")  # fmt: skip
    rows = [(name, *(getattr(own, key) for key in head[1:])) for name, own in runs.items()]
    return Figure("reuse", {"reuse": picture}, head, rows)


def _sizes(runs: Sequence[Gathered]) -> Iterator[Figure]:
    results = [result_of(own.name, own.report) for own in runs if own.report is not None]
    groups = plots(results)
    pictures = {
        slug("sizes", *([group] if len(groups) > 1 else []), picture.below): picture
        for group, own in groups.items()
        for picture in own
    }
    if pictures:
        head, rows = numbers(results)
        yield Figure("sizes", pictures, head, rows)


def _drawn(pictures: Mapping[str, Picture | None]) -> dict[str, Picture]:
    return {name: own for name, own in pictures.items() if own is not None}


def write(made: Sequence[Figure], folder: Path) -> list[Path]:
    """Write figures as .svg and their numbers as .csv; the paths, in order."""
    files: dict[str, str] = {}
    for figure in made:
        files |= {f"{name}.svg": svg(own) for name, own in figure.pictures.items()}
        files[f"{figure.name}.csv"] = comma_separated(figure.head, figure.rows)
    for name, text in files.items():
        write_bytes(folder / name, text.encode())
    return [folder / name for name in files]
