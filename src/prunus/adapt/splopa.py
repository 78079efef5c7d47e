"""Structured pruning low-rank prototype adapters, SPLoPA (Hedegaard et al., arXiv 2211.10155)."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PositiveInt
from torch import Tensor, nn

from prunus.adapt._adapter import Adapter
from prunus.adapt._blocks import BlockRank, Blockwise
from prunus.errors import PrunusError
from prunus.tiling import Tiling


def _blocks(tiling: Tiling) -> Tiling:
    if tiling.among:
        raise PrunusError(f"{tiling} are no blocks: write 32x32 (32 outputs of 32 inputs)")
    return tiling


class Splopa(Blockwise):
    """W + sum_i A_i (x) (cols_i rows_i), with prototypes that all layers share.

    The published adapters begin with an ``init_range`` of 1e-4, and their positions learn at a
    ``learning_rate`` of 1e-3 beside 3e-5 for the rest.

    Attributes:
        prototypes: how many.
        rank: of each of them, or ``full``.
        block: their sizes: ``32x32`` is 32 outputs of 32 inputs.
        shared: one set of prototypes for all layers that :func:`prunus.adapt.attach` is given; or
            one for each layer.
    """

    prototypes: PositiveInt = 64
    rank: BlockRank = 1
    block: Annotated[
        Tiling, BeforeValidator(Tiling.parse), AfterValidator(_blocks), PlainSerializer(str)
    ] = Tiling(32, 32)
    shared: bool = True

    def steps(self, outputs: int, inputs: int) -> tuple[int, int]:
        """The sides of a block."""
        return self.block.rows or outputs, self.block.columns or inputs

    def make(self, weight: Tensor, outputs: int, owner: nn.Module) -> Adapter:
        """Positions for a weight, or for its centre tap."""
        of = owner if self.shared else None
        return self.blocks(weight, outputs, self.prototypes, self.rank, of)
