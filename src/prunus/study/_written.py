"""A sheet as it is written: rows in YAML, or a table of them."""

from collections.abc import Iterator, Mapping
from os.path import isfile
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, PositiveInt, model_validator

from prunus import notation
from prunus.errors import PrunusError
from prunus.recipe import MAIN
from prunus.registry import Part
from prunus.study import _dialects
from prunus.study._plain import NAME, PUBLISHED, RECIPE, Plain
from prunus.table import SUFFIXES, Cell, Entry


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


def written(path: Path) -> dict[str, Any]:
    """What a sheet says of itself; a bare table says nothing but its rows.

    Raises:
        PrunusError: it cannot be read, or is no sheet.
    """
    if path.suffix.lower() in SUFFIXES:
        return {"table": path.name}
    try:
        said = notation.read(path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PrunusError(f"{path} cannot be read: {error}") from None
    if not isinstance(said, dict) or not {"rows", "table"} & said.keys():
        raise PrunusError(f"{path} is no sheet: it needs the key `rows`, a list of settings")
    return said


def entries(asked: Rows, path: Path) -> Iterator[Entry]:
    """The rows of a sheet that lies at ``path``.

    Raises:
        PrunusError: it has no such table, or the table has faults.
    """
    if asked.table is None:
        for number, row in enumerate(asked.rows or (), 1):
            yield _entry(f"{path}: row {number}", row)
        return
    file = path.parent / asked.table
    if not isfile(file) or file.suffix.lower() not in SUFFIXES:
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
