"""The results of a study as one table: for the terminal, as Markdown, as JSON."""

from collections.abc import Callable, Iterable, Sequence
from json import dumps
from pathlib import Path

from rich.table import Table
from rich.text import Text

from prunus.files import write_bytes
from prunus.report import _units as show
from prunus.study._result import Result

Column = Callable[[Result], str]


def _fraction(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _points(fraction: float | None) -> str:
    return "" if fraction is None else show.points(100 * fraction)


def _signed(value: float | None) -> str:
    return "" if value is None else show.signed(value)


OURS: dict[str, Column] = {
    "metric": lambda one: one.metric,
    "dense": lambda one: show.points(one.dense),
    "pruned": lambda one: show.points(one.pruned),
    "drop": lambda one: _signed(one.drop),
    "density": lambda one: _fraction(one.density),
    "removed": lambda one: _fraction(one.ratio),
}
THEIRS: dict[str, Column] = {
    "dense": lambda one: _points(one.published.dense),
    "pruned": lambda one: _points(one.published.pruned),
    "drop": lambda one: _signed(one.published.drop),
    "removed": lambda one: _fraction(one.published.ratio),
}
TOLD = (
    "Dense and pruned in percent; drop in percent of dense; density: what stays of what may go;"
    " removed: as neural-compressor counts, of all linear layers and convolutions."
)


def table(results: Sequence[Result]) -> Table:
    """The results for the terminal."""
    made = Table(caption=Text(TOLD), title_justify="left")
    for head, _ in (columns := _columns(results)):
        made.add_column(head, justify="right" if head else "left")
    for one in results:
        made.add_row(*(Text(cell(one)) for _, cell in columns))
    return made


def markdown(results: Sequence[Result]) -> str:
    """The results as a table in Markdown."""
    columns = _columns(results)
    heads = [head.replace("\n", " ") for head, _ in columns]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    lines += [[cell(one) for _, cell in columns] for one in results]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{TOLD}\n"


def write(results: Iterable[Result], folder: Path) -> None:
    """``study.json`` and ``study.md``."""
    results = list(results)
    text = dumps([one.model_dump(mode="json") | {"drop": one.drop} for one in results], indent=1)
    write_bytes(folder / "study.json", f"{text}\n".encode())
    write_bytes(folder / "study.md", markdown(results).encode())


def _columns(results: Sequence[Result]) -> list[tuple[str, Column]]:
    """(head, cell) of every column; published ones where there are any."""
    theirs = [(f"published\n{head}", cell) for head, cell in THEIRS.items()]
    used = [(head, cell) for head, cell in theirs if any(map(cell, results))]
    ends = ("time", lambda one: show.duration(one.seconds))
    return [("", lambda one: one.name), *OURS.items(), *used, ends]
