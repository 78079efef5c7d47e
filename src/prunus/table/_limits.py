"""How much a table may hold, and what of a workbook is checked before it is opened."""

import re
from pathlib import Path
from typing import IO
from zipfile import ZipFile

from defusedxml.ElementTree import iterparse

from prunus.errors import PrunusError

BYTES = 2**24
"""Of a file."""
UNPACKED = 2**25
"""Of everything in a workbook, which is an archive."""
PARTS = 1000
CELLS = 200_000
ROWS = 10_000
SPREAD = {"mergeCell", "hyperlink", "comment"}
"""What makes a cell of every place that it names."""
PLACE = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})")


def require_few(where: object, rows: int, columns: int) -> None:
    """Check how many cells there are.

    Raises:
        PrunusError: too many.
    """
    if rows > ROWS or rows * columns > CELLS:
        raise PrunusError(
            f"{where}: {rows:,} rows and {columns:,} columns; at most {ROWS:,} rows and {CELLS:,}"
            " cells are read: delete rows and columns that are empty but formatted"
        )


def require_modest(path: Path) -> None:
    """Check a workbook: archives and ranges can come to more than any memory holds.

    Raises:
        PrunusError: it comes to too much, or has XML that refers to anything else.
        ValueError: it is no archive, or no XML.
    """
    if path.stat().st_size > BYTES:
        raise PrunusError(f"{path}: larger than {BYTES:,} bytes")
    with ZipFile(path) as archive:
        parts = archive.infolist()
        if len(parts) > PARTS or sum(part.file_size for part in parts) > UNPACKED:
            raise PrunusError(f"{path}: more than {PARTS} parts, or {UNPACKED:,} bytes unpacked")
        for part in parts:
            if part.filename.endswith((".xml", ".rels", ".vml")):
                with archive.open(part) as file:
                    _require_narrow(path, file)


def _require_narrow(path: Path, file: IO[bytes]) -> None:
    covered = 0
    for _, element in iterparse(file):
        if element.tag.rpartition("}")[2] in SPREAD:
            covered += _area(element.get("ref", ""))
        element.clear()
        if covered > CELLS:
            raise PrunusError(f"{path}: ranges of more than {CELLS:,} cells")


def _area(ref: str) -> int:
    """Cells of a range; one that is no plain range is larger than any."""
    ends = [PLACE.fullmatch(end.upper()) for end in ref.split(":")]
    if len(ends) > 2 or not all(ends):
        return CELLS + 1
    corners = [(_column(end[1]), int(end[2])) for end in ends if end]
    (left, top), (right, bottom) = corners[0], corners[-1]
    return (abs(right - left) + 1) * (abs(bottom - top) + 1)


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number
