"""The page of a run: no script, nothing loaded from anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import yaml

from prunus.report import _exports, _modules, _sensitivity, _trainings, _zeros
from prunus.report import _frontier as search
from prunus.report import _units as show
from prunus.report._compared import COLUMNS, lines, pictures, timed
from prunus.report._detailed import Answer, Detail
from prunus.report._heat import heats
from prunus.report._page import page
from prunus.report._rows import clock, headline, label, removed, rows
from prunus.report._schema import Latency, Quality, Report


@dataclass(frozen=True)
class Bar:
    """One line of a bar chart: its length and its error to either side, in percent of the width."""

    label: str
    value: str
    width: float
    error: float = 0.0
    strong: bool = False


@dataclass(frozen=True)
class Tile:
    """One of the few numbers that are read first."""

    label: str
    value: str
    note: str


def html(report: Report) -> str:
    """The report as a page that opens offline, light or dark, on a phone and on paper.

    Everything that comes from the report is escaped.
    """
    return page(
        report=report,
        removed=removed(report),
        tiles=_tiles(report),
        rows=rows(report),
        quality=_quality(report.quality),
        detail=report.detail,
        recall=_recall(report.detail),
        compared=lines(report),
        columns=COLUMNS,
        costs=pictures(report),
        search=search,
        searched=search.plot(report),
        timed=timed(report),
        trainings=_trainings,
        modules=_modules,
        zeros=_zeros,
        exports=_exports,
        sensitivity=_sensitivity,
        heats=heats(report.kept),
        phases=_phases(report),
        equivalence=_equivalence(report),
        recipe=yaml.safe_dump(report.recipe, sort_keys=False, allow_unicode=True, width=76),
        facts=_facts(report.hardware),
        show=show,
        label=label,
        said=partial(_said, report.detail.scored_by if report.detail else ""),
    )


def _tiles(report: Report) -> list[Tile]:
    quality, flops, params = report.quality, report.flops, report.params
    tiles = [
        Tile(quality.metric, show.points(quality.pruned), f"dense {show.points(quality.dense)}"),
        _stays("FLOPs", flops.pruned, flops.dense),
        _stays("parameters", params.pruned, params.dense),
    ]
    runtimes = dict.fromkeys(entry.runtime for entry in report.latency_ms)
    times = [entry for name in runtimes if (entry := headline(report.latency_ms, name))]
    return [*tiles, _speed(*times)] if times else tiles


def _speed(first: Latency, *others: Latency) -> Tile:
    """The speed-up of the first runtime, and below it those of the others."""
    note = f"{first.runtime}, {clock(first)} time, batch {first.batch}"
    if first.predicted is not None:
        note += f", predicted {show.times(first.predicted.speedup)}"
    beside = (f"{own.runtime} {show.times(own.speedup)}" for own in others)
    return Tile("speed", show.times(first.speedup), "; ".join((note, *beside)))


def _stays(what: str, pruned: int, dense: int) -> Tile:
    fraction = pruned / dense if dense else 1.0
    note = f"{show.scaled(pruned)} of {show.scaled(dense)} stay"
    return Tile(what, show.percent(fraction), note)


def _quality(quality: Quality) -> list[Bar]:
    """Baselines, then the pruned and the dense model, on a common scale from 0 to 100 percent."""
    named = {label(name): value for name, value in quality.baselines.items()}
    named |= {"pruned": quality.pruned, "dense": quality.dense}
    bars = []
    for name, value in named.items():
        error = quality.stderr or 0.0 if name == "pruned" else 0.0
        bars.append(replace(_bar(name, value, name == "pruned"), error=error))
    return bars


def _recall(detail: Detail | None) -> list[tuple[str, list[Bar]]]:
    """The classes with a bar for each model; the worst one is strong."""
    if detail is None:
        return []
    return [
        (
            f"{name}, {own.n:,} examples",
            [
                _bar("dense", own.dense),
                _bar("pruned", own.pruned, strong=name == detail.worst_class),
            ],
        )
        for name, own in detail.recall.items()
    ]


def _bar(name: str, value: float | None, strong: bool = False) -> Bar:
    return Bar(name, show.points(value), min(max(value or 0.0, 0.0), 100.0), strong=strong)


def _said(scored_by: str, answer: Answer) -> str:
    """An answer with its confidence, or its score."""
    text = show.shortened(answer.text) or "no answer"
    if answer.score is not None:
        return f"{text} ({scored_by} {show.points(100 * answer.score)})"
    return text if answer.confidence is None else f"{text} ({show.percent(answer.confidence)})"


def _phases(report: Report) -> list[Bar]:
    """The phases that took any time, in the order they are listed; the total is not a bar."""
    spent = {name: value for name, value in report.seconds.model_dump().items() if name != "total"}
    longest = max(spent.values(), default=0.0) or 1.0
    return [
        Bar(label(name), show.duration(value), 100 * value / longest)
        for name, value in spent.items()
        if value > 0
    ]


def _equivalence(report: Report) -> list[Tile]:
    found = report.equivalence
    return [
        Tile("masked and shrunk", show.small(found.masked_vs_shrunk), "rounding only"),
        Tile("reloaded and shrunk", show.small(found.reloaded_vs_shrunk), "0 is bit for bit"),
        Tile("dense and shrunk", show.small(found.dense_vs_shrunk), "must differ"),
    ]


def _facts(hardware: Mapping[str, object]) -> dict[str, str]:
    return {label(key.removesuffix("_bytes")): _fact(key, hardware[key]) for key in hardware}


def _fact(key: str, value: object) -> str:
    if key.endswith("_bytes") and isinstance(value, int):
        return show.scaled(value, "B")
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
