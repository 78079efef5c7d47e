"""Masks drawn from a hard concrete distribution (Louizos et al., arXiv 1712.01312)."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from prunus.score._learned import Learned

GAMMA, ZETA, BETA = -0.1, 1.1, 2 / 3
"""The interval that sigmoids are stretched to, and the temperature (section 4.1)."""
EDGE = 1e-6


class L0(Learned):
    """Scores are log alpha; a mask is drawn in every step, and its mean is used once it is learnt.

    min(1, max(0, s)) with s = sigmoid((log u - log(1 - u) + log alpha) / beta) (zeta - gamma) +
    gamma and u uniform (equations 10 and 11); at the end sigmoid(log alpha) stands for the sigmoid
    (equation 13), so that weights are scaled by masks between 0 and 1, and those at 0 are gone,
    whether a budget is filled or not. The penalty has its whole strength from the first step on,
    unless a budget sets the amount.
    """

    drawn: ClassVar[bool] = True
    scale: float = 2.197
    regularizer: Literal["l1", "l0"] = "l0"

    def value(self, scores: Tensor, stays: Tensor, draw: Tensor | None) -> Tensor:
        """[*grid] a draw, or what it comes to; 0 for units that were not chosen."""
        if draw is not None:
            scores = (torch.logit(draw.clamp(EDGE, 1 - EDGE)) + scores) / BETA
        return stays * _stretched(scores)

    def strength(self, progress: float, bounded: bool) -> float:
        """All of it, or as much as the density has fallen."""
        return self.penalty * (progress if bounded else 1.0)


def _stretched(logits: Tensor) -> Tensor:
    return (torch.sigmoid(logits) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
