"""How somebody writes runs into a table: which header it has, and what its rows say."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from prunus.table._cell import Cell
from prunus.table._table import Table


@dataclass(frozen=True)
class Entry:
    """What one row says of one run. Values keep the cells that they come from.

    Attributes:
        where: the row's address.
        name: what the run is called.
        settings: by dotted key of a recipe.
        recipe: what they are put over; None is the sheet's.
        published: what others say that it gives, by field of :class:`prunus.study.Published`.
        columns: what the row holds, by title: what rows are chosen by, and told beside results.
        lacks: why there is nothing to run; such a row is left out, and told.
    """

    where: str
    name: Cell
    settings: Mapping[str, Cell]
    recipe: Cell | None = None
    published: Mapping[str, Cell] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    lacks: str = ""


class Dialect(Protocol):
    """A way to write runs into a table."""

    def recognises(self, titles: Sequence[str]) -> bool:
        """Whether a row with these texts is a header of this kind."""
        ...

    def entries(self, table: Table) -> Sequence[Entry]:
        """What the rows of a table say.

        Raises:
            PrunusError: every fault of the header.
        """
        ...


def slug(*words: object) -> str:
    """Words as one that can be a folder's name.

    >>> slug("l1 (soft)", 29.5, "32x32")
    'l1-soft-29.5-32x32'
    """
    parts = (re.sub(r"[^\w.+]+", "-", str(word)).strip("-.") for word in words)
    return "-".join(filter(None, parts))
