"""The teacher's hidden states (FitNets, Romero et al., arXiv 1412.6550, without a regressor)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from prunus.errors import PrunusError
from prunus.loss._layers import HIDDEN, Layers, mean_over, pairs
from prunus.loss._term import Output, Term
from prunus.probe.loss import Batch


class Hidden(Term):
    """Mean squared error of hidden states, over tokens and channels, then over layers.

    Layers of models of unlike depth are matched evenly; the width must be the same. An
    encoder-decoder model has two stacks of layers, whose means are averaged.

    Attributes:
        layers: of the student: ``last``, ``all`` (embeddings and every layer), or numbers, where 0
            is the embeddings and -1 the last.
        tokens: ``real``, or ``all``: padding too.
    """

    reads: ClassVar[tuple[str, ...]] = (HIDDEN,)
    layers: Annotated[Layers, Field(min_length=1)] = "last"
    tokens: Literal["real", "all"] = "real"

    def value(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """[] the error.

        Raises:
            PrunusError: a layer that is not there, or models of unlike width.
        """
        found = pairs(HIDDEN, self.layers, student, teacher)
        return torch.stack([self._apart(*pair, batch) for pair in found]).mean()

    def _apart(self, stack: str, own: Tensor, goal: Tensor, batch: Batch) -> Tensor:
        if own.shape != goal.shape:
            raise PrunusError(
                f"loss: hidden: the student's states are {tuple(own.shape)}, the teacher's"
                f" {tuple(goal.shape)}: states of unlike width cannot be compared; use logits"
            )
        each = (own - goal).square().mean(-1)
        return mean_over(stack, each, batch, padding=self.tokens == "all")
