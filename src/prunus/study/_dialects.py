"""Finds the table in a file: its worksheet, its header, and whose way to write it is."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from prunus.errors import PrunusError, unknown
from prunus.study._plain import Plain
from prunus.table import Dialect, Entry, Worksheet, worksheets

OTHERS = ("prunus.compat.block_spa:BlockSpa",)
"""Dialects of others, ``module:Class``, asked before our own."""


def entries(path: Path, sheet: str | None, header: int | None, plain: Plain) -> list[Entry]:
    """What the rows of a file say.

    Args:
        path: a .csv or .xlsx file.
        sheet: the worksheet; None is the only one that holds a table, or all that are of one
            workbook of others.
        header: the row of the titles, from 1; None is the first that looks like a header.
        plain: what the titles mean; with columns of its own, no other dialect is asked.

    Raises:
        PrunusError: no such worksheet, no header, or faults in it.
    """
    dialects = (plain,) if plain.columns else (*_others(), plain)
    there = worksheets(path)
    if sheet is not None and sheet not in there:
        raise unknown("worksheet", sheet, there, f"(in {path.name})")
    named = there if sheet is None else {sheet: there[sheet]}
    found = {name: own for name, one in named.items() if (own := _header(one, header, dialects))}
    theirs = {name: own for name, own in found.items() if own[1] is not plain}
    if len(found) != 1 and not theirs:
        raise PrunusError(_told(path, named, list(found)))
    return [
        entry
        for name, (place, dialect) in (theirs or found).items()
        for entry in dialect.entries(there[name].below(place))
    ]


def _others() -> Iterator[Dialect]:
    for path in OTHERS:
        module, _, name = path.partition(":")
        yield getattr(importlib.import_module(module), name)()


def _header(
    sheet: Worksheet, header: int | None, dialects: tuple[Dialect, ...]
) -> tuple[int, Dialect] | None:
    """The place of the header, from 0, and the first dialect that knows it."""
    if header is not None and header <= len(sheet.rows):
        titles = sheet.titles(header - 1)
        return header - 1, next((one for one in dialects if one.recognises(titles)), dialects[-1])
    for place in range(len(sheet.rows) if header is None else 0):
        titles = sheet.titles(place)
        for dialect in dialects:
            if titles and dialect.recognises(titles):
                return place, dialect
    return None


def _told(path: Path, named: Mapping[str, Worksheet], found: list[str]) -> str:
    if found:
        return f"{path.name} has several tables: name one, --sheet {' or '.join(map(repr, found))}"
    where = " or ".join(sheet.where for sheet in named.values())
    return (
        f"{where}: no row looks like a header: one with a column 'name', or of keys of recipes;"
        " say which one is (--header 2), or what its titles mean (a sheet in YAML with `columns`)"
    )
