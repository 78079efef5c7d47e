"""The pruned model beside what could have been done instead: one row for each."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from prunus.report import _units as show
from prunus.report._pareto import Cost, Model, Quality, plots
from prunus.report._picture import Picture
from prunus.report._rows import clock, headline
from prunus.report._schema import Baseline, Latency, Report

COLUMNS = ("quality", "pruned is ahead", "FLOPs", "parameters", "weights", "speed")


@dataclass(frozen=True)
class Line:
    """One model: its name, how it was made, a cell for every column, its kind.

    ``ahead`` is 1 where the pruned model is ahead by more than chance explains, -1 where it is
    behind by more, and 0 between.
    """

    name: str
    made: str
    cells: tuple[str, ...]
    strong: bool = False
    ahead: int = 0


def lines(report: Report) -> list[Line]:
    """The dense model, every baseline and the pruned model; nothing where none was asked for."""
    if not report.compared:
        return []
    return [_dense(report), *map(_line, report.compared), _pruned(report)]


def pictures(report: Report) -> list[Picture]:
    """Quality against what it costs, of the same models; nothing where none was asked for."""
    if not report.compared:
        return []
    costs = [Cost("FLOPs", show.scaled), Cost("time against the dense model", show.share),
             Cost("weights", partial(show.scaled, unit="B"))]  # fmt: skip
    return plots([*_models(report)], Quality(report.quality.metric), costs)


def _models(report: Report) -> Iterator[Model]:
    quality = report.quality
    dense = report.flops.dense, 1.0, report.bytes.dense
    yield from _model("dense", quality.dense, *dense)
    for one in report.compared:
        yield from _model(
            one.name, one.quality, one.flops, _time(headline(one.latency_ms)), one.bytes
        )
    pruned = report.flops.pruned, _time(_paired(report)), report.bytes.pruned
    yield from _model("pruned", quality.pruned, *pruned, chosen=True)


def _model(
    name: str,
    value: float | None,
    flops: int | None,
    time: float | None,
    size: int | None,
    chosen: bool = False,
) -> Iterator[Model]:
    """It, where its quality is known, with those of its costs that are."""
    costs = {"FLOPs": flops, "time against the dense model": time, "weights": size}
    known = {cost: own for cost, own in costs.items() if own is not None}
    if value is not None:
        yield Model(name, value, known, chosen)


def _time(entry: Latency | None) -> float | None:
    """A call's time against the dense model's."""
    return 1 / entry.speedup if entry else None


def _paired(report: Report) -> Latency | None:
    """The pruned model's time in the runtime that the others were timed in."""
    theirs = (entry for one in report.compared for entry in one.latency_ms)
    first = next(theirs, None)
    return headline(report.latency_ms, first and first.runtime)


def timed(report: Report) -> str:
    """What the column of speeds was measured with."""
    entry = _paired(report)
    if entry is None:
        return "not measured"
    call = f"batches of {show.call(entry.batch, entry.length)}"
    return f"{clock(entry)} time against the dense model, {call}"


def _dense(report: Report) -> Line:
    sizes = report.flops.dense, report.params.dense, report.bytes.dense
    return Line("dense", "as it was", (show.points(report.quality.dense), "", *_sizes(*sizes), ""))


def _pruned(report: Report) -> Line:
    sizes = report.flops.pruned, report.params.pruned, report.bytes.pruned
    value = _with_error(report.quality.pruned, report.quality.stderr)
    cells = (value, "", *_sizes(*sizes), _speed(_paired(report)))
    return Line("pruned", "this report's model", cells, strong=True)


def _line(entry: Baseline) -> Line:
    cells = (
        _with_error(entry.quality, entry.stderr),
        show.interval(entry.ahead, entry.margin),
        *_sizes(entry.flops, entry.params, entry.bytes),
        _speed(headline(entry.latency_ms)),
    )
    return Line(entry.name, entry.made, cells, ahead=_sign(entry))


def _with_error(value: float | None, stderr: float | None) -> str:
    return show.points(value) + (f" ± {show.points(stderr)}" if stderr is not None else "")


def _sign(entry: Baseline) -> int:
    if entry.ahead is None or entry.margin is None or abs(entry.ahead) <= entry.margin:
        return 0
    return 1 if entry.ahead > 0 else -1


def _sizes(flops: int | None, params: int | None, size: int | None) -> Iterator[str]:
    for value, unit in ((flops, ""), (params, ""), (size, "B")):
        yield show.NONE if value is None else show.scaled(value, unit)


def _speed(entry: Latency | None) -> str:
    if entry is None:
        return show.NONE
    return show.times(entry.speedup) + (" noisy" if entry.noisy else "")
