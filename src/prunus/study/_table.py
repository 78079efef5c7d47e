"""The results of a study as one table: for the terminal, as Markdown, CSV and JSON."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from json import dumps
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from prunus.files import write_bytes
from prunus.report import _units as show
from prunus.study._html import html
from prunus.study._plain import differing
from prunus.study._result import RESULTS, Result, saved


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
    Column("metric", lambda one: one.metric),
    Column("dense", lambda one: one.dense, show.points),
    Column("pruned", lambda one: one.pruned, show.points),
    Column("drop", lambda one: one.drop, show.signed),
    Column("density", lambda one: one.density, _fraction),
    Column("removed", lambda one: one.ratio, _fraction),
)
THEIRS = (
    Column("dense", lambda one: one.published.dense, _points, "published"),
    Column("pruned", lambda one: one.published.pruned, _points, "published"),
    Column("drop", lambda one: one.published.drop, show.signed, "published"),
    Column("removed", lambda one: one.published.ratio, _fraction, "published"),
)
COSTS = (
    Column("parameters", lambda one: one.params, show.scaled),
    Column("trained", lambda one: one.trained, show.scaled),
    Column("FLOPs", lambda one: one.flops, show.scaled),
    Column("speed", lambda one: one.speedup, show.times),
    Column("time", lambda one: one.seconds, show.duration),
)
TOLD = (
    "Dense and pruned in percent; drop in percent of dense; density: what stays of what may go;"
    " removed: as neural-compressor counts, of all linear layers and convolutions; speed: measured,"
    " against the dense model."
)


def columns(results: Sequence[Result]) -> list[Column]:
    """Every column in which there is anything, what differs in the sheet at the end."""
    named = Column("", lambda one: one.name)
    sheet = [
        Column(title, lambda one, title=title: one.columns.get(title))
        for title in differing([one.columns for one in results])
    ]
    return [own for own in (named, *OURS, *THEIRS, *COSTS, *sheet) if any(map(own.cell, results))]


def table(results: Sequence[Result]) -> Table:
    """The results for the terminal, without the sheet's own columns."""
    own = {column.title for column in (*OURS, *THEIRS, *COSTS)}
    made = Table(caption=Text(TOLD), title_justify="left")
    first, *others = columns(results)
    shown = [first, *(column for column in others if column.title in own)]
    for column in shown:
        head = f"{column.of}\n{column.head}".strip()
        made.add_column(head, justify="right" if head else "left")
    for one in results:
        made.add_row(*(Text(column.cell(one)) for column in shown))
    return made


def markdown(results: Sequence[Result]) -> str:
    """The results as a table in Markdown."""
    shown = columns(results)
    lines = [[column.title for column in shown], ["---", *["---:"] * (len(shown) - 1)]]
    lines += [[_escaped(column.cell(one)) for column in shown] for one in results]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{TOLD}\n"


def figures(results: Sequence[Result]) -> tuple[list[str], list[list[Any]]]:
    """The titles, and the results with all their digits."""
    shown = columns(results)
    head = ["name", *(column.title for column in shown[1:])]
    return head, [[column.value(one) for column in shown] for one in results]


def comma_separated(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as a .csv file has it."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def write(
    results: tuple[Result, ...], folder: Path, failed: Mapping[str, str], waiting: Sequence[str]
) -> None:
    """``study.json``, ``study.csv``, ``study.md`` and ``study.html``."""
    shown = columns(results) if results else []
    files = {
        RESULTS: f"{dumps(saved(results), indent=1)}\n",
        "study.csv": comma_separated(*figures(results)) if results else "",
        "study.md": markdown(results) if results else "",
        "study.html": html(folder.absolute().name, results, shown, failed, waiting),
    }
    for name, text in files.items():
        write_bytes(folder / name, text.encode())


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
