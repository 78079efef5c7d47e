"""Tables of other programs, .xlsx and .csv, whose cells know where they stand."""

from prunus.table._cell import Cell
from prunus.table._dialect import Dialect, Entry, slug
from prunus.table._files import SUFFIXES, worksheets
from prunus.table._table import Line, Table, Worksheet

__all__ = [
    "SUFFIXES",
    "Cell",
    "Dialect",
    "Entry",
    "Line",
    "Table",
    "Worksheet",
    "slug",
    "worksheets",
]
