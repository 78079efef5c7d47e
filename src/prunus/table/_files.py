"""The worksheets of a file, by name; a .csv file is one without a name."""

from pathlib import Path

from prunus.table._csv import csv_worksheet
from prunus.table._table import Worksheet
from prunus.table._xlsx import xlsx_worksheets

CSV, XLSX = SUFFIXES = (".csv", ".xlsx")
"""Endings of files that hold tables."""


def worksheets(path: Path) -> dict[str, Worksheet]:
    """Every worksheet of a .csv or .xlsx file.

    Raises:
        PrunusError: the file is broken.
    """
    if path.suffix.lower() == XLSX:
        return xlsx_worksheets(path)
    return {"": csv_worksheet(path)}
