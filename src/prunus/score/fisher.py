"""Diagonal Fisher information of the masks (Kwon et al., arXiv 2204.09656, eq. 6)."""

from typing import ClassVar, Literal

from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion


class Fisher(Criterion):
    """Mean over samples of (dL/dm)^2, m the unit's mask, L the loss on labels.

    A head's gradient is the sum over its dimensions before it is squared.

    Attributes:
        per: ``sample`` squares the gradient of every sample, so that scores do not depend on the
            batch size; ``batch`` squares the gradient of a batch's mean loss, as the paper's own
            code does, and sums over batches.
    """

    reads: ClassVar[tuple[str, ...]] = ("gradient_square", "unit_batch_gradient_square")
    loss: ClassVar = "labels"
    per: Literal["sample", "batch"] = "sample"

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] squared mask gradients."""
        if self.per == "batch":
            return evidence.seen["unit_batch_gradient_square"]
        return evidence.seen["gradient_square"] / evidence.samples
