"""What stayed, as a table: a row for each layer, a column for each kind of site."""

import re
from dataclasses import dataclass, field

from prunus.report._units import percent


@dataclass(frozen=True)
class Cell:
    """One site: how many of its units stay."""

    site: str
    kept: int
    of: int

    @property
    def level(self) -> int:
        """Step of the colour scale: 0 is nothing, 10 everything, the others tenths between."""
        if self.kept in (0, self.of):
            return 10 if self.kept else 0
        return min(9, max(1, round(10 * self.kept / self.of)))

    @property
    def share(self) -> str:
        """The fraction that stays, in percent."""
        return percent(self.kept / self.of if self.of else 0.0, 0)


@dataclass
class Heat:
    """The sites of one stack of layers; cells by row and column, absent where there is no site."""

    title: str
    columns: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)

    def whole(self, column: str) -> int | None:
        """How many units each site of the column has, where all have the same number."""
        counts = {cells[column].of for cells in self.rows.values() if column in cells}
        return counts.pop() if len(counts) == 1 else None


def heats(kept: dict[str, tuple[int, int]]) -> list[Heat]:
    """The sites sorted into stacks, layers and kinds by their names, in the order they come in.

    A name such as ``decoder.block.3.cross:heads`` is layer 3 of the stack ``decoder.block`` and
    stands in the column ``cross heads``; one without a number is a stack of its own.
    """
    found: dict[str, Heat] = {}
    for site, (units, of) in kept.items():
        stack, layer, column = place(site)
        heat = found.setdefault(stack, Heat(stack))
        if column not in heat.columns:
            heat.columns.append(column)
        heat.rows.setdefault(layer, {})[column] = Cell(site, units, of)
    return list(found.values())


def place(site: str) -> tuple[str, str, str]:
    """Stack, layer and column of a site, see :func:`heats`."""
    module, _, kind = site.rpartition(":")
    match = re.match(r"(.*?)\.?\b(\d+)\b\.?(.*)", module)
    stack, layer, inner = match.groups() if match else (module, "", "")
    return stack or "model", layer, f"{inner} {kind}".strip().replace("_", " ")
