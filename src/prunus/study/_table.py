"""The results of a study as one table: for the terminal, as Markdown, CSV and JSON."""

import csv
from collections.abc import Collection, Mapping, Sequence
from io import StringIO
from json import dumps
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from prunus.files import write_bytes
from prunus.study._columns import columns, legend, narrow, others, told
from prunus.study._html import Sheet, html
from prunus.study._result import RESULTS, Result, saved


def table(results: Sequence[Result], marked: Collection[str] = ()) -> Table:
    """The results for the terminal, without the sheet's own columns.

    Args:
        results: of runs.
        marked: names of those that are shown in bold, with a star.
    """
    metrics = ", ".join(dict.fromkeys(one.metric for one in results))
    made = Table(title=Text(metrics), title_justify="left", caption_justify="left")
    made.caption = Text(legend(results))
    shown = narrow(results)
    for column in shown:
        head = f"{column.of}\n{column.head}".strip()
        made.add_column(head, justify="right" if head else "left", overflow="fold")
    for one in results:
        first, *cells = (column.cell(one) for column in shown)
        best = one.name in marked
        name = Text(f"{first} *" if best else first)
        made.add_row(name, *map(Text, cells), style="bold" if best else "")
    return made


def markdown(results: Sequence[Result]) -> str:
    """The results as a table in Markdown."""
    shown = [*columns(results), *others(results)]
    lines = [[column.title for column in shown], ["---", *["---:"] * (len(shown) - 1)]]
    lines += [[_escaped(column.cell(one)) for column in shown] for one in results]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{told(results)}\n"


def figures(results: Sequence[Result]) -> tuple[list[str], list[list[Any]]]:
    """The titles, and the results with all their digits."""
    shown = [*columns(results), *others(results)]
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
    sheet = Sheet("Results", told(results), [*columns(results), *others(results)])
    files = {
        RESULTS: f"{dumps(saved(results), indent=1)}\n",
        "study.csv": comma_separated(*figures(results)) if results else "",
        "study.md": markdown(results) if results else "",
        "study.html": html(folder.absolute().name, results, [sheet], failed, waiting),
    }
    for name, text in files.items():
        write_bytes(folder / name, text.encode())


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
