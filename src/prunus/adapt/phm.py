"""Parameterised hypercomplex multiplication (Zhang et al., arXiv 2102.08597, eq. 3.2)."""

from typing import ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn

from prunus.adapt._adapter import Adapter
from prunus.adapt._blocks import Blockwise


class Phm(Blockwise):
    """W + sum_i A_i (x) S_i, with A_i [n, n] and S_i [outputs / n, inputs / n] of full rank.

    Attributes:
        n: terms of the sum; a delta has 1 / n of the weight's parameters, and n^3 more.
    """

    counted: ClassVar[bool] = True
    n: PositiveInt = 4

    def steps(self, outputs: int, inputs: int) -> tuple[int, int]:
        """As many blocks along either axis as there are terms."""
        return self.n, self.n

    def make(self, weight: Tensor, outputs: int, owner: nn.Module) -> Adapter:
        """Factors for a weight, or for its centre tap."""
        return self.blocks(weight, outputs, self.n, "full", None)
