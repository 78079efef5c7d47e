"""How weights are put together into units: ``4x1``, ``2:4``, ``channelx1``; imports no torch."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from prunus.errors import PrunusError
from prunus.registry import Many, Part, Pattern, parse

WeightedType = Literal["Linear", "Conv1D", "Conv1d", "Conv2d"]
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


class Grid(Part):
    """Weight matrices as grids of blocks, which can be masked but not removed.

    Attributes:
        grid: rows (outputs) and columns (inputs) of a block: 1x1 is single weights, channelx1 all
            weights of an input, 1xchannel those of an output; or 2:4, 2 of 4 neighbouring inputs.
        match: regular expression for the whole name of a module, such as ``.*query``.
        types: classes of modules, of Linear, Conv1D, Conv1d and Conv2d; None is all of them.
        indivisible: what happens to weights that the blocks do not divide: an error, they are
            skipped, or the last block sticks out (pad).
        head: take the network's head as well, which stays dense otherwise.
    """

    grid: Annotated[Tiling, BeforeValidator(Tiling.parse), PlainSerializer(str)]
    match: Pattern = ".*"
    types: Annotated[Many[WeightedType] | None, Field(min_length=1)] = None
    indivisible: Literal["error", "skip", "pad"] = "error"
    head: bool = False

    @classmethod
    def of(cls, value: Any) -> "Grid":
        """A grid from its settings.

        Raises:
            PrunusError: they are none, or not sound.
        """
        if isinstance(value, Grid):
            return value
        if not isinstance(value, Mapping):
            raise PrunusError(
                f"expected a kind of site or {{grid: [4, 1], match: regex}}, not {value!r}"
            )
        try:
            return parse(cls, "", value)
        except PrunusError as error:
            raise PrunusError(str(error).replace("\n", "; ")) from None
