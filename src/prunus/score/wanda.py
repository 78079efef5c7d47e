"""Weights times the norm of what they weigh (Wanda, Sun et al., ICLR 2024, arXiv 2306.11695)."""

from typing import ClassVar

from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion
from prunus.site import reduce


class Wanda(Criterion):
    """S_ij = |W_ij| |X_j|, with |X_j| the l2 norm of input j over all real tokens (equation 1).

    A unit's score is the sum over its weights in the reader: of single weights and blocks of a
    linear layer, and of heads and neurons at the layer that reads them. The paper compares weights
    within each output: ``budget: {scope: row}``.
    """

    reads: ClassVar[tuple[str, ...]] = ("square",)
    per_cost: ClassVar[bool] = False

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] sums over the unit's weights."""
        site, part = evidence.site, evidence.site.inlet
        weight = evidence.weights[part.tensor]
        norm = evidence.seen["square"].sqrt().float()
        view = [1] * weight.dim()
        view[site.input_axis] = -1
        return reduce(part, weight.abs() * norm.reshape(view), site.shape)
