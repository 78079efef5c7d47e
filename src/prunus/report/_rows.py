"""The headline table, dense against pruned: the same rows for the terminal and for the page."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from prunus.report import _units as show
from prunus.report._detailed import Both, Changes, Detail
from prunus.report._schema import (
    Latency,
    Pair,
    Predicted,
    Quality,
    Report,
    Timing,
    TouchUp,
    Vocabulary,
)

TURNS = ("right_to_wrong", "wrong_to_right")
GRADES = ("worse", "better")


@dataclass(frozen=True)
class Row:
    """One line of the table: what, of which kind, both values, and what changed."""

    label: str
    note: str
    dense: str
    pruned: str
    change: str
    remark: str = ""


def rows(report: Report) -> list[Row]:
    """Every line, in the order of the questions: how good, how large, how fast."""
    return [
        *_quality(report.quality),
        *_touch_up(report.touch_up),
        *_detail(report.detail),
        *_sizes(report),
        *_latencies(report.latency_ms),
        *(Row("time", name, "", "", "not measured", why) for name, why in report.untimed.items()),
    ]


def _quality(quality: Quality) -> Iterator[Row]:
    """The metric beside its baselines, and how often both models agree."""
    pruned = show.points(quality.pruned)
    if quality.stderr is not None:
        pruned += f" ± {show.points(quality.stderr)}"
    beside = [f"{label(name)} {show.points(value)}" for name, value in quality.baselines.items()]
    note = ", ".join([f"%, {quality.n:,} examples", *beside])
    dense = show.points(quality.dense)
    remark = f"± {show.points(quality.margin)}, 95 %, paired" if quality.margin is not None else ""
    yield Row(quality.metric, note, dense, pruned, _points_lost(quality), remark)
    if quality.agreement is not None:
        yield Row("agreement", "with the dense model", "", show.percent(quality.agreement), "")


def _touch_up(own: TouchUp | None) -> Iterator[Row]:
    """What training after pruning gave back."""
    if own is None:
        return
    note = f"{own.name} ({own.learnt}), on {own.samples:,} samples of {own.split}, without labels"
    took = f"{own.steps:,} steps in {show.duration(60 * own.minutes)}, final loss"
    gained = show.NONE
    if own.gained is not None and own.margin is not None:
        gained = f"{show.signed(own.gained)} ± {show.points(own.margin)} points"
    loss = show.NONE if own.loss is None else show.small(own.loss)
    yield Row("touch-up", note, "", f"{show.points(own.before)} before", gained, f"{took} {loss}")


def _detail(detail: Detail | None) -> Iterator[Row]:
    """What the mean hides: answers that turned, calibration, the worst class."""
    if detail is None:
        return
    lost, won = (detail.changes.get(kind, Changes(n=0)).n for kind in TURNS)
    if detail.changes.keys() >= set(TURNS):
        net = f"{won - lost:+,} right".replace("-", show.MINUS)
        yield Row("flips", "right to wrong, wrong to right", "", f"{lost:,} lost, {won:,} won", net)
    worse, better = (detail.changes.get(kind, Changes(n=0)).n for kind in GRADES)
    if worse or better:
        by = f"worse or better, by the {detail.scored_by} of each"
        yield Row("changes", by, "", f"{worse:,} worse, {better:,} better", "")
    error = detail.calibration_error
    if error is not None:
        yield _both("calibration error", f"expected, %, {error.bins} bins", error)
    worst = detail.worst_class
    if worst is not None:
        recall = detail.recall[worst]
        yield _both(f"worst class: {worst}", f"% found of {recall.n:,} examples", recall)


def _both(what: str, note: str, both: Both) -> Row:
    dense, pruned = show.points(both.dense), show.points(both.pruned)
    return Row(what, note, dense, pruned, _points_lost(both))


def _points_lost(both: Both | Quality) -> str:
    if both.dense is None or both.pruned is None:
        return show.NONE
    return f"{show.signed(both.pruned - both.dense)} points"


def _sizes(report: Report) -> Iterator[Row]:
    flops = report.flops
    yield _pair("parameters", "", report.params)
    if report.trained is not None:
        share = f"{show.percent(report.trained / report.params.pruned)} of the pruned"
        yield Row("trained parameters", "", show.NONE, show.scaled(report.trained), share)
    per = f"{'an' if flops.per[0] in 'aeiou' else 'a'} {flops.per}"
    mean = "" if flops.length is None else f", mean length {show.tokens(flops.length)}"
    yield _pair("FLOPs", f"{per}{mean}", flops)
    if flops.padded is not None:
        yield _pair("FLOPs", f"{per}, padded to {show.tokens(flops.padded.length)}", flops.padded)
    yield _pair("weights", "both in float32", report.bytes, "B")
    yield from _vocabulary(report.vocabulary)


def _vocabulary(found: Vocabulary | None) -> Iterator[Row]:
    """How many tokens stayed, what that saves, and how many tokens of new texts paid for it."""
    if found is None:
        return
    note = f"tokens, those of {' and '.join(found.seen)}"
    tokens = _pair("vocabulary", note, found.tokens)
    changed = f"{show.percent(found.changed, 2)} of the tokens of {found.split} split otherwise"
    remark = f"{changed}, {show.percent(found.unknown, 2)} now unknown"
    yield replace(
        tokens,
        dense=f"{found.tokens.dense:,}",
        pruned=f"{found.tokens.pruned:,}",
        remark=remark,
    )
    yield _pair("embeddings", "rows of tokens, in float32", found.bytes, "B")


def _pair(what: str, note: str, pair: Pair, unit: str = "") -> Row:
    dense, pruned = show.scaled(pair.dense, unit), show.scaled(pair.pruned, unit)
    change = f"{show.percent(pair.pruned / pair.dense)} stay" if pair.dense else show.NONE
    return Row(what, note, dense, pruned, change)


def _latencies(entries: tuple[Latency, ...]) -> Iterator[Row]:
    for entry in entries:
        yield _timing(f"{clock(entry)} time", _call(entry), entry, _remark(entry))
        if entry.predicted is not None:
            yield _predicted(entry.predicted, entry.speedup)
        if entry.wall is not None and entry.clock != "wall":
            yield _timing("wall time", _call(entry), entry.wall, "")


def examples(report: Report) -> str:
    """What qualities are measured on: how many examples, and of which split where that is told."""
    split = split_of(report)
    return f"{report.quality.n:,} examples" + (f" of {split}" if split else "")


def split_of(report: Report) -> str | None:
    """The split that qualities are measured on, where the recipe tells."""
    said = report.recipe.get("evaluation")
    split = said.get("split") if isinstance(said, dict) else None
    return split if isinstance(split, str) else None


def headline(entries: tuple[Latency, ...], runtime: str | None = None) -> Latency | None:
    """The measurement that is shown where there is room for one: the last of a runtime.

    Args:
        entries: all of them.
        runtime: which one's; the first one's when None.
    """
    asked = runtime or next((entry.runtime for entry in entries), None)
    return next((entry for entry in reversed(entries) if entry.runtime == asked), None)


def timed(entry: Latency) -> str:
    """What a latency was measured with: its runtime, its call, its threads, its clock."""
    return f"{_call(entry)}, {clock(entry)} time"


def _call(entry: Latency) -> str:
    return f"{entry.runtime}, {call(entry)}"


def call(entry: Latency) -> str:
    """The size of a call, and its threads."""
    threads = f"{entry.threads} thread{'s' * (entry.threads != 1)}"
    return f"{show.call(entry.batch, entry.length)}, {threads}"


def ratio(timing: Timing) -> str:
    """The speed-up with its quartiles."""
    low, high = timing.speedup_iqr
    return f"{show.times(timing.speedup)} ({low:.2f} to {high:.2f})"


def _predicted(told: Predicted, reached: float) -> Row:
    """What the budget was counted with, beside what was reached: pruned / dense, both ways."""
    off = show.percent(told.speedup / reached, 0)
    return Row(
        "predicted time",
        "by the table of this machine",
        show.milliseconds(told.dense),
        show.milliseconds(told.pruned),
        show.times(told.speedup),
        f"measured: {off} of the predicted time",
    )


def clock(entry: Latency) -> str:
    """The clock's name as people write it."""
    return "CPU" if entry.clock == "cpu" else entry.clock


def _remark(entry: Latency) -> str:
    reached = (
        f"{show.percent(entry.speedup / entry.ideal, 0)} of the ideal {show.times(entry.ideal)}"
    )
    return f"{reached}, noisy: measure again" if entry.noisy else reached


def _timing(what: str, note: str, timing: Timing, remark: str) -> Row:
    dense, pruned = show.milliseconds(timing.dense), show.milliseconds(timing.pruned)
    return Row(what, note, dense, pruned, ratio(timing), remark)


def label(name: str) -> str:
    """A key as words: ``bag_of_words`` is ``bag of words``."""
    return name.replace("_", " ")


def removed(report: Report) -> str:
    """The amount in words, both ways round: what was removed, and the density that stays."""
    density = report.density
    what = {"flops": "FLOPs", "params": "parameters"}.get(density.metric, density.metric)
    return (
        f"{show.percent(1 - density.of_model)} of the model's {what} removed: density "
        f"{density.of_model:.3f} of the model, {density.of_sites:.3f} of what can be cut"
    )
