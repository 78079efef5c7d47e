"""Large weights stay (Han et al., arXiv 1506.02626; Li et al., arXiv 1608.08710 for structures)."""

from typing import Literal

import torch
from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion
from prunus.site import reduce


class Magnitude(Criterion):
    """Sum of |w| (l1) or of w^2 (l2) over every weight that a unit owns, in all its slices.

    Attributes:
        norm: l1 or l2 (squared, so that it adds up over weights).
    """

    norm: Literal["l1", "l2"] = "l1"

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] sums over the unit's weights."""
        site, weights = evidence.site, evidence.weights
        sizes = [
            reduce(part, self._size(weights[part.tensor]), site.shape)
            for part in site.slices
            if part.tensor in weights
        ]
        return sizes[0] if len(sizes) == 1 else torch.stack(sizes).double().sum(0)

    def _size(self, weight: Tensor) -> Tensor:
        return weight.abs() if self.norm == "l1" else weight.square()
