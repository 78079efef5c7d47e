"""First-order change of the loss when a unit goes (Molchanov et al., arXiv 1611.06440)."""

from typing import ClassVar

from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion


class Taylor(Criterion):
    """Mean over samples of |dL/dm|, m the unit's mask: |sum of activation x gradient|."""

    reads: ClassVar[tuple[str, ...]] = ("gradient_abs",)
    loss: ClassVar = "labels"

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] mean absolute mask gradient."""
        return evidence.seen["gradient_abs"] / evidence.samples
