"""A sheet: many runs as rows of one table, each a recipe with settings put over it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, PositiveInt, model_validator

from prunus.errors import PrunusError
from prunus.recipe import MAIN, find
from prunus.recipe import _yaml as notation
from prunus.registry import Part, parse
from prunus.study import _dialects
from prunus.study._plain import NAME, PUBLISHED, RECIPE, Plain
from prunus.study._row import Row, row_of
from prunus.table import SUFFIXES, Cell, Entry

WORD = re.compile(r"[\w.+-]*\w")
OURS = {f"study.{ending}" for ending in ("json", "csv", "md", "html", "log")}


class Rows(Part):
    """A sheet as it is written: its rows, or where a table has them.

    Attributes:
        recipe: what rows are put over: a file or folder beside the sheet, or a shipped name.
        rows: each with a ``name``, settings by dotted keys, and what is ``published``; a row with a
            ``recipe`` is put over that one.
        table: a .csv or .xlsx file beside the sheet, instead of rows.
        sheet: the table's worksheet, where it has several.
        header: the row of the table's titles, from 1, where that is not clear.
        columns: the keys of the table's titles; null for one that says nothing.
        required: columns without which a row of the table is unfinished: it is left out, and told.
    """

    recipe: str = MAIN
    rows: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)] | None = None
    table: str | None = None
    sheet: str | None = None
    header: PositiveInt | None = None
    columns: dict[str, str | None] = Field(default_factory=dict)
    required: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.rows is None) == (self.table is None):
            raise PrunusError("a sheet has `rows`, or a `table` of them, and not both")
        about = self.model_fields_set & {"sheet", "header", "columns", "required"}
        if about and self.table is None:
            raise PrunusError(f"{', '.join(sorted(about))}: only a `table` has such")
        return self


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
    asked = parse(Rows, str(path), {**_written(path), **given})
    entries = list(_entries(asked, path))
    finished = [entry for entry in entries if not entry.lacks]
    if not finished:
        raise PrunusError(f"{path} holds no row that could run")
    _require_names(finished)
    rows, told = list[Row](), dict[str, None]()
    for entry in finished:
        try:
            rows.append(row_of(entry, asked.recipe, path.parent, overrides))
        except PrunusError as error:
            told |= dict.fromkeys(str(error).splitlines())
    if told:
        raise PrunusError("\n".join(told))
    skipped = tuple(f"{entry.where}: {entry.lacks}" for entry in entries if entry.lacks)
    return Sheet(tuple(rows), skipped)


def _written(path: Path) -> dict[str, Any]:
    """What a sheet says of itself; a bare table is one that says nothing but its rows."""
    if path.suffix.lower() in SUFFIXES:
        return {"table": path.name}
    try:
        said = notation.load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PrunusError(f"{path} cannot be read: {error}") from None
    if not isinstance(said, dict) or not {"rows", "table"} & said.keys():
        raise PrunusError(f"{path} is no sheet: it needs the key `rows`, a list of settings")
    return said


def _entries(asked: Rows, path: Path) -> Iterator[Entry]:
    if asked.table is None:
        for number, row in enumerate(asked.rows or (), 1):
            yield _entry(f"{path}: row {number}", row)
        return
    file = path.parent / asked.table
    if not file.is_file() or file.suffix.lower() not in SUFFIXES:
        raise PrunusError(f"{path}: table: {file} is no {' or '.join(SUFFIXES)} file")
    plain = Plain(asked.columns, asked.required)
    yield from _dialects.entries(file, asked.sheet, asked.header, plain)


def _entry(where: str, said: Mapping[str, Any]) -> Entry:
    """A row of a YAML sheet; its cells are called by their keys."""
    place = f"{where}, {said.get(NAME, '')}"
    cells = {key: Cell(value, f"{place}: {key}") for key, value in _flat(said)}
    if PUBLISHED in cells:
        other = cells[PUBLISHED]
        cells[PUBLISHED] = other.bad(f"expected a mapping like {{ratio: .9}}, got {other.held!r}")
    own = {key for key in cells if key.partition(".")[0] == PUBLISHED}
    settings = {key: cell for key, cell in cells.items() if key not in {NAME, RECIPE, *own}}
    return Entry(
        where=place,
        name=Cell(said.get(NAME, ""), where),
        settings=settings,
        recipe=cells.get(RECIPE),
        published={key.partition(".")[2]: cells[key] for key in own},
        columns={key: cell.held for key, cell in cells.items() if key != NAME},
    )


def _flat(said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys of a row; what is published by dotted ones."""
    for key, value in said.items():
        if key == PUBLISHED and isinstance(value, Mapping):
            yield from ((f"{PUBLISHED}.{own}", below) for own, below in value.items())
        else:
            yield key, value


def _require_names(entries: Sequence[Entry]) -> None:
    """Check that every run has a name of its own, which a folder can have.

    Raises:
        PrunusError: every name that is not so.
    """
    told, seen = list[str](), dict[str, str]()
    for entry in entries:
        try:
            name = str(entry.name.value or "")
        except PrunusError as error:
            told.append(str(error))
            continue
        where, other = entry.name.where, seen.get(name.casefold())
        if not WORD.fullmatch(name) or name in OURS:
            told.append(
                f"{where} is called {name!r}: every row needs a name that can be a folder's, of"
                " letters, digits and . + - _"
            )
        elif other is not None:
            told.append(f"{where}: two rows are called {name!r}, as that of {other} is")
        seen.setdefault(name.casefold(), where)
    if told:
        raise PrunusError("\n".join(told))
