"""A value that knows where it stands, so that what is wrong with it can be told there."""

from dataclasses import dataclass, replace
from typing import Any

from prunus.errors import PrunusError


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        held: what it holds: text, a number, yes or no; None where it is blank.
        where: its address, such as ``runs.xlsx, Sheet1, cell P7``.
        fault: why it cannot be read; it matters only where the cell is.
        merged: the value is that of the first of several merged cells, and stands in that one.
    """

    held: Any
    where: str
    fault: str = ""
    merged: bool = False

    @property
    def value(self) -> Any:
        """What the cell holds.

        Raises:
            PrunusError: it cannot be read.
        """
        if self.fault:
            raise self.error(self.fault)
        return self.held

    @property
    def blank(self) -> bool:
        """Whether there is nothing to read, nor to complain of."""
        return self.held is None and not self.fault

    def of(self, value: Any) -> "Cell":
        """Another value that was made of this cell's."""
        return replace(self, held=value)

    def bad(self, fault: str) -> "Cell":
        """The cell as one that cannot be read."""
        return replace(self, held=None, fault=fault)

    def error(self, message: str) -> PrunusError:
        """An error that tells the address."""
        return PrunusError(f"{self.where}: {message}")
