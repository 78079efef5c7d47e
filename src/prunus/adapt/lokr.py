"""One Kronecker product with a factor of low rank, LoKr (Yeh et al., arXiv 2309.14859)."""

from math import isqrt
from typing import ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn

from prunus.adapt._adapter import Adapter
from prunus.adapt._blocks import BlockRank, Blockwise


class Lokr(Blockwise):
    """W + A (x) (cols rows).

    Attributes:
        rank: of the block, or ``full``.
        factor: the sides of A; None is, on either axis, the divisor nearest below the root.
    """

    counted: ClassVar[bool] = True
    rank: BlockRank = 8
    factor: PositiveInt | None = None

    def steps(self, outputs: int, inputs: int) -> tuple[int, int]:
        """The sides of A."""
        return self.factor or _divisor(outputs), self.factor or _divisor(inputs)

    def make(self, weight: Tensor, outputs: int, owner: nn.Module) -> Adapter:
        """Factors for a weight, or for its centre tap."""
        return self.blocks(weight, outputs, 1, self.rank, None)


def _divisor(size: int) -> int:
    return next(by for by in range(isqrt(size), 0, -1) if size % by == 0)
