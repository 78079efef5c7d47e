"""Diagonal Fisher information of the masks (Kwon et al., arXiv 2204.09656, eq. 6)."""

from typing import ClassVar

from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion


class Fisher(Criterion):
    """Mean over samples of (dL/dm)^2, m the unit's mask, L the loss on labels.

    A head's gradient is the sum over its dimensions before it is squared. Gradients are taken per
    sample, so that scores do not depend on the batch size.
    """

    reads: ClassVar[tuple[str, ...]] = ("gradient_square",)
    loss: ClassVar = "labels"

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] mean squared mask gradient."""
        return evidence.seen["gradient_square"] / evidence.samples
