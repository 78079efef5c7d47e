"""The columns of tables of results: what each shows, and of what."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from prunus.report import _units as show
from prunus.study._plain import differing
from prunus.study._result import UNPUBLISHED, Result


def _fraction(value: float) -> str:
    return f"{value:.4f}"


def _points(fraction: float) -> str:
    return show.points(100 * fraction)


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        head: its title.
        value: what a result has there; None is nothing.
        shown: a value as people read it.
        of: how its title begins, where it has two lines.
    """

    head: str
    value: Callable[[Result], Any]
    shown: Callable[[Any], str] = str
    of: str = ""

    def cell(self, one: Result) -> str:
        """What people read."""
        value = self.value(one)
        return "" if value is None else self.shown(value)

    @property
    def title(self) -> str:
        """In one line."""
        return f"{self.of} {self.head}".strip()


OURS = (
    Column("dense", lambda one: one.dense, show.points),
    Column("pruned", lambda one: one.pruned, show.points),
    Column("change", lambda one: one.change, show.signed),
    Column("±", lambda one: one.margin, show.points),
    Column("density", lambda one: one.density, _fraction),
    Column("removed", lambda one: one.ratio, _fraction),
)
DROP = Column("drop", lambda one: one.drop, show.signed)
THEIRS = (
    DROP,
    Column("dense", lambda one: one.published.dense, _points, "published"),
    Column("pruned", lambda one: one.published.pruned, _points, "published"),
    Column("drop", lambda one: one.published.drop, show.signed, "published"),
    Column("removed", lambda one: one.published.ratio, _fraction, "published"),
)
COSTS = (
    Column("parameters", lambda one: one.params, show.scaled),
    Column("trained", lambda one: one.trained, show.scaled),
    Column("FLOPs", lambda one: one.flops, show.scaled),
    Column("bytes", lambda one: one.bytes, lambda value: show.scaled(value, "B")),
    Column("speed", lambda one: one.speedup, show.times),
    Column("time", lambda one: one.seconds, show.duration),
)
NAMED = Column("", lambda one: one.name)
METRIC = Column("metric", lambda one: one.metric)
TIMED = Column("timed with", lambda one: one.timed)


def columns(results: Sequence[Result]) -> list[Column]:
    """Every column of measured values in which there is anything, the name's at the front.

    What is published has columns where anything is, and so has what was measured in its units;
    what a time was measured with has one where that is not always the same.
    """
    theirs = THEIRS if any(one.published != UNPUBLISHED for one in results) else ()
    timed = [TIMED] if len(calls(results)) > 1 else []
    shown = [NAMED, METRIC, *OURS, *theirs, *COSTS, *timed]
    return [own for own in shown if any(map(own.cell, results))]


def others(results: Sequence[Result]) -> list[Column]:
    """The columns of a sheet, or the settings of recipes, in which the results differ."""
    return [
        Column(title, lambda one, title=title: one.columns.get(title))
        for title in differing([one.columns for one in results])
    ]


def told(results: Sequence[Result]) -> str:
    """What the columns hold, in words."""
    said = {
        "dense": "dense and pruned in percent",
        "change": "change in points",
        "±": "± half of its 95 % interval, paired by example",
        "drop": "drop in percent of dense",
        "density": "density: what stays of what may go",
        "removed": "removed: as neural-compressor counts, of all linear layers and convolutions",
        "speed": f"speed: measured, against the dense model{_clock(results)}",
    }
    heads = {column.title for column in columns(results)}
    text = "; ".join(words for head, words in said.items() if head in heads)
    return f"{text[:1].upper()}{text[1:]}."


def calls(results: Sequence[Result]) -> list[str]:
    """What their times were measured with."""
    return list(dict.fromkeys(one.timed for one in results if one.timed))


def narrow(results: Sequence[Result]) -> list[Column]:
    """The same for a terminal: a metric that all have is left out, and calls are letters."""
    alike = len({one.metric for one in results}) == 1
    letters = dict(zip(calls(results), ascii_lowercase, strict=False))
    short = {TIMED: Column("call", lambda one: one.timed and letters.get(one.timed))}
    return [short.get(own, own) for own in columns(results) if own is not METRIC or not alike]


def legend(results: Sequence[Result]) -> str:
    """What the columns for a terminal hold, in words."""
    several = calls(results) if len(calls(results)) > 1 else []
    lines = (f"{letter}: {call}" for letter, call in zip(ascii_lowercase, several, strict=False))
    return "\n".join((told(results), *lines))


def _clock(results: Sequence[Result]) -> str:
    return f" ({calls(results)[0]})" if len(calls(results)) == 1 else ""
