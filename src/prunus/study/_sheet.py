"""A sheet: many runs as rows of one table, each a recipe with settings put over it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prunus.errors import PrunusError
from prunus.recipe import find
from prunus.registry import parse
from prunus.study import _written
from prunus.study._row import Row, row_of
from prunus.table import Entry

WORD = re.compile(r"[\w.+-]*\w")
OURS = {f"study.{ending}" for ending in ("json", "csv", "md", "html", "log")}


@dataclass(frozen=True)
class Sheet:
    """A sheet that was read.

    Attributes:
        rows: its runs.
        skipped: rows that are none, each with its address and why.
    """

    rows: tuple[Row, ...]
    skipped: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def read_sheet(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    sheet: str | None = None,
    header: int | None = None,
    recipe: str | None = None,
) -> Sheet:
    """The rows of a sheet, each read as :func:`prunus.recipe.read` reads a recipe.

    Args:
        source: a YAML file ``{recipe: ..., rows: [...]}`` or ``{recipe: ..., table: FILE}``, a .csv
            or .xlsx file whose columns are the keys of rows, or the name of a shipped sheet.
        overrides: settings put over those of every row.
        sheet: the worksheet, where a workbook has several tables.
        header: the row of a table's titles, from 1, where that is not clear.
        recipe: what rows are put over, instead of what the sheet says.

    Raises:
        PrunusError: no such sheet, or every fault in all of its rows, by cell.
    """
    path = find(source)
    said = {"sheet": sheet, "header": header, "recipe": recipe}
    given = {key: value for key, value in said.items() if value is not None}
    asked = parse(_written.Rows, str(path), {**_written.written(path), **given})
    entries = list(_written.entries(asked, path))
    finished = [entry for entry in entries if not entry.lacks]
    if not finished:
        raise PrunusError(f"{path} holds no row that could run")
    rows, told = list[Row](), dict.fromkeys(_name_faults(finished))
    for entry in finished:
        own = entry if recipe is None else replace(entry, recipe=None)
        try:
            rows.append(row_of(own, asked.recipe, path.parent, overrides))
        except PrunusError as error:
            told |= dict.fromkeys(str(error).splitlines())
    if told:
        raise PrunusError("\n".join(told))
    skipped = tuple(f"{entry.where}: {entry.lacks}" for entry in entries if entry.lacks)
    return Sheet(tuple(rows), skipped)


def _name_faults(entries: Sequence[Entry]) -> Iterator[str]:
    """What keeps runs from having names of their own, which folders can have."""
    seen = dict[str, str]()
    for entry in entries:
        try:
            name = str(entry.name.value or "")
        except PrunusError as error:
            yield str(error)
            continue
        where, other = entry.name.where, seen.get(name.casefold())
        if not WORD.fullmatch(name) or name in OURS:
            yield (
                f"{where} is called {name!r}: every row needs a name that can be a folder's, of"
                " letters, digits and . + - _"
            )
        elif other is not None:
            yield f"{where}: two rows are called {name!r}, as that of {other} is"
        seen.setdefault(name.casefold(), where)
