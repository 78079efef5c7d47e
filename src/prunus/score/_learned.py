"""Criteria whose scores are parameters: a training learns them through the masks that they make."""

import math
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prunus.probe import Evidence
from prunus.score._criterion import Criterion

SCORES = "mask_scores"
"""What evidence calls a site's scores."""
SHIFT = 2 / 3 * math.log(0.1 / 1.1)
"""beta log(-gamma / zeta) of the hard concrete distribution (arXiv 1712.01312, equation 12)."""


class Learned(Criterion):
    """A mask multiplies a site's units in the forward pass; its gradient moves their scores.

    The gradient goes through the mask as if it were the score itself (straight through), so that a
    unit's score falls by the sum of its weights times their gradients, and a unit that is masked
    may come back with the weights that it had (Sanh et al., arXiv 2005.07683, section 4).

    Attributes:
        drawn: whether values are drawn anew for every step of the training.
        learning_rate: of the scores, which have no weight decay.
        init: scores begin at ``scale``, uniform between -scale and scale, or uniform within
            1 / sqrt(inputs) of 0 (kaiming).
        scale: see there.
        penalty: lambda, by which the mean of all scores' sigmoids is added to the loss.
        regularizer: of what that mean is: sigmoids (l1), or the chances not to be 0 under the hard
            concrete distribution (l0).
    """

    reads: ClassVar[tuple[str, ...]] = (SCORES,)
    per_cost: ClassVar[bool] = False
    learned: ClassVar[bool] = True
    drawn: ClassVar[bool] = False
    learning_rate: PositiveFloat = 1e-2
    init: Literal["constant", "uniform", "kaiming"] = "constant"
    scale: float = 0.0
    penalty: NonNegativeFloat = 0.0
    regularizer: Literal["l1", "l0"] = "l1"

    def start(self, shape: tuple[int, ...]) -> Tensor:
        """[*grid] scores as they begin, float32."""
        scores = torch.full(shape, self.scale)
        if self.init == "constant":
            return scores
        bound = self.scale if self.init == "uniform" else 1 / math.sqrt(math.prod(shape[1:]))
        return nn.init.uniform_(scores, -bound, bound)

    def value(self, scores: Tensor, stays: Tensor, draw: Tensor | None) -> Tensor:
        """[*grid] what units are multiplied by, differentiable in the scores.

        Args:
            scores: [*grid] parameters.
            stays: [*grid] of the scores' type: 1 for units that were chosen, else 0.
            draw: [*grid] uniform between 0 and 1, the same in all passes of a step, where the
                criterion is ``drawn`` and the network learns from this pass; else None.
        """
        return stays + (scores - scores.detach())

    def alive(self, scores: Tensor, progress: float) -> Tensor:
        """[*grid] bool: units that may stay at a progress from 0 to 1, whatever the budget."""
        return torch.ones_like(scores, dtype=torch.bool)

    def strength(self, progress: float, bounded: bool) -> float:
        """The penalty's factor at a progress from 0 to 1; ``bounded`` by a budget, or not."""
        return self.penalty * progress

    def amount(self, scores: Tensor) -> Tensor:
        """[] the mean that the penalty makes small."""
        return torch.sigmoid(scores - SHIFT if self.regularizer == "l0" else scores).mean()

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] the scores."""
        return evidence.seen[SCORES]
