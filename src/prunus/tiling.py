"""How weights are put together into units: ``4x1``, ``2:4``, ``channelx1``; imports no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prunus.errors import PrunusError

CHANNEL = "channel"
SIZE = rf"[1-9]\d*|{CHANNEL}"


@dataclass(frozen=True)
class Tiling:
    """Blocks of a weight matrix, or runs of its inputs of which few stay.

    Attributes:
        rows: outputs of a block; None is all of them.
        columns: inputs of a block; None is all of them.
        among: ``(n, m)``: of m neighbouring inputs n stay, or all of them; () for blocks.
    """

    rows: int | None = 1
    columns: int | None = 1
    among: tuple[int, ...] = ()

    @classmethod
    def parse(cls, value: Any) -> "Tiling":
        """A tiling from how people write it.

        Args:
            value: ``"4x1"`` or ``[4, 1]`` (4 outputs of 1 input), ``"channelx1"`` (an input of all
                outputs), ``"1xchannel"`` (an output), or ``"2:4"`` (2 of 4 neighbouring inputs
                stay).

        Raises:
            PrunusError: it is none of these.

        >>> Tiling.parse("channelx1"), Tiling.parse("1:4").among
        (Tiling(rows=None, columns=1, among=()), (1, 4))
        """
        if isinstance(value, Tiling):
            return value
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = "x".join(map(str, value))
        block = re.fullmatch(rf"({SIZE})x({SIZE})", str(value))
        if block is not None:
            rows, columns = (None if side == CHANNEL else int(side) for side in block.groups())
            return cls(rows, columns)
        run = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", str(value))
        if run is None or int(run[1]) >= int(run[2]):
            raise PrunusError(
                f"{value!r} is no pattern: write 4x1 (4 outputs of 1 input), channelx1, 1xchannel,"
                " or 2:4 (2 of 4 neighbouring inputs stay)"
            )
        return cls(among=(int(run[1]), int(run[2])))

    def __str__(self) -> str:
        """As people write it."""
        if self.among:
            return ":".join(map(str, self.among))
        return "x".join(str(side or CHANNEL) for side in (self.rows, self.columns))
