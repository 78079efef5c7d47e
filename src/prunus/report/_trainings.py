"""How losses fell, as pictures: of one run's trainings, and of several runs beside each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from prunus.report import _units as show
from prunus.report._curves import Series, curves
from prunus.report._history import History, Point
from prunus.report._picture import COLOURS, Picture

SECONDS = "CPU seconds of training"
ALL = "CPU seconds, tuning of modules included"
LOSS = "loss"
COLUMNS = ("steps", "CPU time", "training loss", "validation before", "after", "quality", "")
SOLID, THIN = "line", "line thin"


@dataclass(frozen=True)
class Look:
    """A look at a training, with the processor time that lay behind it in all."""

    cpu: float
    training: str
    point: Point
    kept: bool


def looks(histories: Sequence[History], spent: float = 0.0) -> list[list[Look]]:
    """The looks of every training, one after another.

    Args:
        histories: in order.
        spent: processor seconds before the first one.
    """
    found = []
    for own in histories:
        kept = own.points[-1].step if own.kept is None else own.kept
        found.append([
            Look(spent + one.cpu, own.name, one, one.step == kept) for one in own.points
        ])  # fmt: skip
        spent = found[-1][-1].cpu
    return found


def pictures(histories: Sequence[History], metric: str) -> list[Picture]:
    """The losses of a run's trainings, and its quality where that was measured."""
    trainings = looks(histories)
    walls = [own[0].cpu for own in trainings[1:]]
    losses = [
        *(Series("training loss", f"{COLOURS[1]} {THIN}", _trained(own)) for own in trainings),
        *(_line("validation loss", 0, own, "validation", LOSS) for own in trainings),
    ]
    quality = [_line(metric, 0, own, "quality", metric) for own in trainings]
    made = (
        curves("Losses while the model was trained", losses, SECONDS, LOSS, walls),
        curves(f"{metric} while the model was trained", quality, SECONDS, metric, walls),
    )
    return [own for own in made if own is not None]


def compared(
    runs: Mapping[str, list[list[Look]]], what: str, title: str, above: str
) -> Picture | None:
    """A line for every run; beside it what it was trained on, where there are few.

    Args:
        runs: the looks of their trainings, by name.
        what: ``validation`` or ``quality``.
        title: what is shown, in words.
        above: its name beside the axis.
    """
    found = [
        series
        for place, (name, trainings) in enumerate(runs.items())
        for series in _run(name, place, trainings, what, alone=len(runs) > len(COLOURS))
    ]
    return curves(title, found, ALL, above)


def rows(histories: Sequence[History]) -> list[tuple[str, tuple[str, ...]]]:
    """(training, a cell for every column): how long it took, and how good the weights it left."""
    return [(own.name, _cells(own)) for own in histories]


def _cells(own: History) -> tuple[str, ...]:
    first, last = own.points[0], own.points[-1]
    kept = next((one for one in own.points if one.step == own.kept), last)
    return (
        f"{last.step:,}",
        show.duration(last.cpu),
        _loss(own.loss),
        _loss(first.validation),
        _loss(kept.validation),
        show.points(kept.quality) if kept.quality is not None else "",
        "" if kept is last else f"weights of step {kept.step:,}",
    )


def _loss(value: float | None) -> str:
    return show.NONE if value is None else f"{value:.4f}"


def _run(
    name: str, place: int, trainings: list[list[Look]], what: str, *, alone: bool
) -> Iterator[Series]:
    colour = COLOURS[place % len(COLOURS)]
    for own in trainings:
        if what == "validation" and not alone:
            yield Series(name, f"{colour} {THIN}", _trained(own), told=False)
        yield _line(name, place, own, what, name)


def _line(name: str, place: int, own: Sequence[Look], what: str, said: str) -> Series:
    again = place // len(COLOURS) % 2
    style = f"{COLOURS[place % len(COLOURS)]} {SOLID}{' dashed' * again}"
    points = [(one.cpu, value) for one in own if (value := getattr(one.point, what)) is not None]
    kept = [one for one in own if one.kept and getattr(one.point, what) is not None]
    marked = None
    if kept:
        value = getattr(kept[0].point, what)
        title = f"{said} {value:.4g} after step {kept[0].point.step:,} of {kept[0].training}"
        marked = (kept[0].cpu, value), title
    return Series(name, style, points, marked)


def _trained(own: Sequence[Look]) -> list[tuple[float, float]]:
    """Training losses, each in the middle of the time that it is the mean of."""
    return [
        ((before.cpu + one.cpu) / 2, one.point.training)
        for before, one in pairwise(own)
        if one.point.training is not None
    ]
