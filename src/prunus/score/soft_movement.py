"""Learned scores against a threshold (soft movement pruning: Sanh et al., arXiv 2005.07683)."""

import torch
from pydantic import Field
from torch import Tensor

from prunus.score._learned import Learned


class SoftMovement(Learned):
    """Units stay whose scores are above a threshold, which rises; the penalty lowers the scores.

    Under a budget of density 1 the amount that stays is what the two leave. A lower density is a
    limit on the way: what scores highest stays, the penalty rests where the budget is met, and in
    the end it is filled.

    Attributes:
        threshold: its last value.
        initial: its first one.
        sigmoid: compare the scores' sigmoids.
        floor: the fraction of a site's units that stays in any case (one unit more).
    """

    threshold: float = 0.1
    initial: float = 0.0
    sigmoid: bool = True
    floor: float = Field(default=0.005, ge=0, le=1)

    def alive(self, scores: Tensor, progress: float) -> Tensor:
        """[*grid] bool: above the threshold, or of the highest few."""
        values = torch.sigmoid(scores) if self.sigmoid else scores
        above = values > self.initial + (self.threshold - self.initial) * progress
        least = min(int(self.floor * scores.numel()) + 1, scores.numel())
        if int(above.sum()) >= least:
            return above
        best = torch.zeros_like(above).flatten()
        best[scores.flatten().topk(least).indices] = True
        return best.reshape(scores.shape)
