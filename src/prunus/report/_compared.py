"""The pruned model beside what could have been done instead: one row for each."""

from collections.abc import Iterator
from dataclasses import dataclass

from prunus.report import _units as show
from prunus.report._rows import clock
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


def timed(report: Report) -> str:
    """What the column of speeds was measured with."""
    for entry in report.latency_ms[-1:]:
        call = f"batches of {show.call(entry.batch, entry.length)}"
        return f"{clock(entry)} time against the dense model, {call}"
    return "not measured"


def _dense(report: Report) -> Line:
    sizes = report.flops.dense, report.params.dense, report.bytes.dense
    return Line("dense", "as it was", (show.points(report.quality.dense), "", *_sizes(*sizes), ""))


def _pruned(report: Report) -> Line:
    sizes = report.flops.pruned, report.params.pruned, report.bytes.pruned
    value = _with_error(report.quality.pruned, report.quality.stderr)
    cells = (value, "", *_sizes(*sizes), _speed(report.latency_ms))
    return Line("pruned", "this report's model", cells, strong=True)


def _line(entry: Baseline) -> Line:
    cells = (
        _with_error(entry.quality, entry.stderr),
        _ahead(entry),
        *_sizes(entry.flops, entry.params, entry.bytes),
        _speed(entry.latency_ms),
    )
    return Line(entry.name, entry.made, cells, ahead=_sign(entry))


def _with_error(value: float | None, stderr: float | None) -> str:
    return show.points(value) + (f" ± {show.points(stderr)}" if stderr is not None else "")


def _ahead(entry: Baseline) -> str:
    if entry.ahead is None or entry.margin is None:
        return show.NONE
    return f"{show.signed(entry.ahead)} ± {show.points(entry.margin)}"


def _sign(entry: Baseline) -> int:
    if entry.ahead is None or entry.margin is None or abs(entry.ahead) <= entry.margin:
        return 0
    return 1 if entry.ahead > 0 else -1


def _sizes(flops: int | None, params: int | None, size: int | None) -> Iterator[str]:
    for value, unit in ((flops, ""), (params, ""), (size, "B")):
        yield show.NONE if value is None else show.scaled(value, unit)


def _speed(entries: tuple[Latency, ...]) -> str:
    """That of the last measurement, as in the tiles."""
    if not entries:
        return show.NONE
    return show.times(entries[-1].speedup) + (" noisy" if entries[-1].noisy else "")
