"""Tables of comma separated values."""

import csv
from io import StringIO
from pathlib import Path

from prunus.errors import PrunusError
from prunus.files import read_bytes
from prunus.table._cell import Cell
from prunus.table._limits import BYTES, require_few
from prunus.table._table import Worksheet

LETTERS = 26


def csv_worksheet(path: Path) -> Worksheet:
    """The records of a file as rows; every cell is text, or blank.

    Raises:
        PrunusError: it is no UTF-8, a quote is not closed, or a record has not as many cells as the
            first one.
    """
    try:
        text = read_bytes(path, BYTES).decode("utf-8-sig")
        records = list(csv.reader(StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PrunusError(f"{path} cannot be read: {error}") from None
    require_few(path.name, len(records), max(map(len, records), default=0))
    wide = next((len(record) for record in records if record), 0)
    for number, record in enumerate(records, 1):
        if record and len(record) != wide:
            raise PrunusError(
                f"{path.name}, row {number}: {len(record)} cells, not as many cells as the header,"
                f" {wide}; a value with a comma in it stands in quotes"
            )
    rows = (_row(path, number, record, wide) for number, record in enumerate(records, 1))
    return Worksheet(path.name, "", tuple(rows))


def _row(path: Path, number: int, record: list[str], wide: int) -> tuple[Cell, ...]:
    texts = record or [""] * wide
    return tuple(
        Cell(text if text.strip() else None, f"{path.name}, cell {_letters(place)}{number}")
        for place, text in enumerate(texts)
    )


def _letters(place: int) -> str:
    """A column as spreadsheets call it: A is 0, AA is 26."""
    above, last = divmod(place, LETTERS)
    return (_letters(above - 1) if above else "") + chr(ord("A") + last)
