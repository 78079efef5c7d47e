"""The teacher's attention maps (after TinyBERT, Jiao et al., arXiv 1909.10351, equation 7)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from prunus.errors import PrunusError
from prunus.loss._layers import ATTENTIONS, HIDDEN, STACKS, Layers, mean_over, pairs
from prunus.loss._term import Output, Term
from prunus.probe.loss import Batch


class Attention(Term):
    """Squared distance of attention maps: |a_student - a_teacher|^2, the mean over real queries.

    a is what one token gives to all, a distribution; TinyBERT compares it before the softmax, where
    padding has no value. In training the student's maps carry its dropout of attention
    probabilities, if it has any. Maps exist in the ``eager`` implementation of attention only, in
    which both models run while this term is used.

    Attributes:
        layers: of the student: ``last``, ``all``, or numbers, where 0 is the first, -1 the last.
        heads: ``each`` head against the teacher's, or the ``mean`` over heads, which needs no equal
            number of them.
    """

    reads: ClassVar[tuple[str, ...]] = (ATTENTIONS, HIDDEN)
    layers: Annotated[Layers, Field(min_length=1)] = "all"
    heads: Literal["each", "mean"] = "each"

    def value(self, student: Output, teacher: Output, batch: Batch) -> Tensor:
        """[] the distance.

        Raises:
            PrunusError: a layer that is not there, a layer without attention, or unlike heads.
        """
        for out in (student, teacher):
            _require_whole(out)
        found = pairs(ATTENTIONS, self.layers, student, teacher)
        return torch.stack([self._apart(*pair, batch) for pair in found]).mean()

    def _apart(self, stack: str, own: Tensor, goal: Tensor, batch: Batch) -> Tensor:
        if self.heads == "mean":
            own, goal = own.mean(1, keepdim=True), goal.mean(1, keepdim=True)
        if own.shape != goal.shape:
            raise PrunusError(
                f"loss: attention: the student's maps are {tuple(own.shape)}, the teacher's"
                f" {tuple(goal.shape)}: with unlike numbers of heads use heads: mean"
            )
        each = (own - goal).square().sum(-1).mean(1)
        return mean_over(stack, each, batch)


def _require_whole(out: Output) -> None:
    """Maps are numbered by layers: a layer that has none would shift all that follow."""
    for stack in STACKS:
        maps = out.get(stack + ATTENTIONS)
        layers = out.get(("decoder_" if stack == "cross_" else stack) + HIDDEN)
        if maps and layers and len(maps) != len(layers) - 1:
            raise PrunusError(
                f"loss: attention: of {len(layers) - 1} layers {len(maps)} have attention: maps"
                " cannot be matched where a layer has lost all of its heads; use hidden"
            )
