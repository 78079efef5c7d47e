"""Worksheets of Excel and its like: cells are data, formulas the values that the file holds."""

import warnings
from pathlib import Path
from typing import Any

from prunus.errors import PrunusError
from prunus.table._cell import Cell
from prunus.table._limits import require_few
from prunus.table._table import Worksheet

ERROR, FORMULA = "e", "f"


def xlsx_worksheets(path: Path) -> dict[str, Worksheet]:
    """Every worksheet by its name.

    Cells that are merged downwards within one column all hold the value of the first of them; of
    cells merged sideways only the first one does.

    Raises:
        PrunusError: the file is no workbook.
    """
    values, formulas = _book(path, True), _book(path, False)
    for sheet in values.worksheets:
        require_few(f"{path.name}, {sheet.title}", sheet.max_row, sheet.max_column)
    return {
        sheet.title: _worksheet(f"{path.name}, {sheet.title}", sheet, formulas[sheet.title])
        for sheet in values.worksheets
    }


def _book(path: Path, values: bool) -> Any:
    from openpyxl import load_workbook

    from prunus.table._limits import require_modest

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of, such as styles, is no data
            require_modest(path)
            return load_workbook(path, data_only=values)
    except MemoryError:
        raise
    except Exception as error:  # a broken workbook makes openpyxl raise anything
        why = " ".join(str(error).split())[:300]
        raise PrunusError(f"{path} cannot be read as a workbook: {why}") from None


def _worksheet(where: str, values: Any, formulas: Any) -> Worksheet:
    rows = [
        [_cell(where, one, formulas[one.coordinate].data_type) for one in row]
        for row in values.iter_rows(min_row=1, min_col=1)
    ]
    for merged in values.merged_cells.ranges:
        if merged.min_col == merged.max_col:
            _fill(rows, merged.min_row - 1, merged.max_row, merged.min_col - 1)
    return Worksheet(where, values.title, tuple(map(tuple, rows)))


def _cell(where: str, one: Any, kind: str) -> Cell:
    blank = Cell(None, f"{where}, cell {one.coordinate}")
    if one.data_type == ERROR:
        return blank.bad(f"holds the error {one.value}")
    if one.value is None and kind == FORMULA:
        return blank.bad(
            "holds a formula without its value: open the file in a spreadsheet and save it"
        )
    if isinstance(one.value, str):
        return blank.of(one.value if one.value.strip() else None)
    if one.value is None or isinstance(one.value, bool | int | float):
        return blank.of(one.value)
    return blank.bad(
        f"holds {one.value}, a date or a time; where text such as 2:4 is meant, format the cell as"
        " text and write it again"
    )


def _fill(rows: list[list[Cell]], first: int, last: int, column: int) -> None:
    top = rows[first][column]
    for row in rows[first + 1 : last]:
        where = row[column].where
        row[column] = Cell(top.held, where, top.fault, merged=True)
