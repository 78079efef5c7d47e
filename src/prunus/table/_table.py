"""Rows of cells, and what they are under a header."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prunus.table._cell import Cell


@dataclass(frozen=True)
class Line:
    """One row of a table.

    Attributes:
        where: its address, such as ``runs.xlsx, Sheet1, row 7``.
        cells: by the title of their column.
    """

    where: str
    cells: Mapping[str, Cell]

    @property
    def said(self) -> dict[str, Cell]:
        """The cells that are not blank."""
        return {title: cell for title, cell in self.cells.items() if not cell.blank}


@dataclass(frozen=True)
class Table:
    """What stands below a header, rows that are blank left out.

    Attributes:
        where: the file, and the worksheet in it.
        name: the worksheet's.
        titles: the header's cells by title; a title that stands again is ``TITLE 2``.
        lines: the rows.
    """

    where: str
    name: str
    titles: Mapping[str, Cell]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Worksheet:
    """All cells of a worksheet, [row, column], blank ones among them."""

    where: str
    name: str
    rows: tuple[tuple[Cell, ...], ...]

    def titles(self, row: int) -> list[str]:
        """What a row would be as a header, without blank cells; rows count from 0."""
        return [text for cell in self.rows[row] if (text := _title(cell))]

    def below(self, header: int) -> Table:
        """The table under a header; columns without a title are left out."""
        columns = _columns(self.rows[header])
        titles = {title: self.rows[header][place] for title, place in columns.items()}
        return Table(self.where, self.name, titles, tuple(self._lines(header, columns)))

    def _lines(self, header: int, columns: Mapping[str, int]) -> Iterator[Line]:
        for number, row in enumerate(self.rows[header + 1 :], header + 2):
            cells = {title: row[place] for title, place in columns.items()}
            if any(cell.held is not None and not cell.merged for cell in cells.values()):
                yield Line(f"{self.where}, row {number}", cells)


def _title(cell: Cell) -> str:
    return "" if cell.held is None else " ".join(str(cell.held).split())


def _columns(header: tuple[Cell, ...]) -> dict[str, int]:
    """The place of each title."""
    found, seen = dict[str, int](), Counter[str]()
    for place, title in enumerate(map(_title, header)):
        name = title
        while name in found:
            seen[title] += 1
            name = f"{title} {seen[title] + 1}"
        if title:
            found[name] = place
    return found
