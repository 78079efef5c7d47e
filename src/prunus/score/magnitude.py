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
        total = torch.zeros(evidence.site.shape, dtype=torch.float64)
        for part in evidence.site.slices:
            if part.tensor in evidence.weights:
                weight = evidence.weights[part.tensor].double()
                size = weight.abs() if self.norm == "l1" else weight.square()
                total += reduce(part, size, evidence.site.shape).cpu()
        return total
