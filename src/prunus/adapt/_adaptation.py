"""The contract of an adaptation: settings that make an adapter for a layer's weight."""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from prunus.adapt._adapter import Adapter, LowRank, Whole
from prunus.registry import Part, Pattern, spelt

Rank = PositiveInt | Annotated[float, Field(gt=0, lt=1)]


class Adaptation(Part):
    """Which layers get adapters, and how these begin.

    Attributes:
        init_range: deltas begin within so much of 0, times their other factor; at 0 the model
            begins as it is.
        match: regular expression that the whole name of a module must match; None is every layer
            that can be adapted.
        head: adapt the network's head too, instead of training it as a whole.
        learning_rate: of what the adapters add; None is the training's. Where they are made of
            blocks it is that of the positions.
    """

    rides: ClassVar[bool] = True
    """Whether adapters are cut with their layers."""

    init_range: NonNegativeFloat = 0.0
    match: Pattern | None = None
    head: bool = False
    learning_rate: PositiveFloat | None = None

    def fault(self, shape: Sequence[int]) -> str:
        """Why a layer with a weight [outputs, inputs, *kernel] cannot be adapted, or ""."""
        raise NotImplementedError

    def make(self, weight: Tensor, outputs: int, owner: nn.Module) -> Adapter:
        """An adapter, of the weight's type and device.

        Args:
            weight: of a linear layer or a convolution.
            outputs: the axis of its outputs, 0 or 1; the other one is that of its inputs.
            owner: the model; what adapters share is its own.
        """
        raise NotImplementedError

    def near_zero(self, empty: Tensor) -> Tensor:
        """A tensor filled uniformly within ``init_range`` of 0."""
        return nn.init.uniform_(empty, -self.init_range, self.init_range)


class LowRankAdaptation(Adaptation):
    """An adaptation by two factors.

    Attributes:
        rank: of the delta; below 1 it is a fraction of the layer's outputs (at least 1).
    """

    rank: Rank = 8

    def factors(self, weight: Tensor, outputs: int, kernel: Sequence[int] = ()) -> LowRank:
        """A product of ``rows``, drawn as the weights of a linear layer are, and ``cols``."""
        width, inputs = weight.shape[outputs], weight.shape[1 - outputs]
        rank = self.rank if isinstance(self.rank, int) else max(1, round(self.rank * width))
        rows = weight.new_empty(rank, inputs, *kernel, requires_grad=False)
        nn.init.kaiming_uniform_(rows, a=math.sqrt(5))
        cols = self.near_zero(weight.new_empty(width, rank))
        made = self.model_copy(update={"rank": rank, "match": None})
        return LowRank(spelt(made), outputs, rows, cols)


class Centred(Adaptation):
    """An adaptation of the centre tap of convolutions."""

    def fault(self, shape: Sequence[int]) -> str:
        """A kernel of even size has no centre."""
        even = any(size % 2 == 0 for size in shape[2:])
        return (
            f"a kernel of {'x'.join(map(str, shape[2:]))} has no centre; use lora" if even else ""
        )


def whole(part: Adaptation, weight: Tensor, outputs: int) -> Whole:
    """A matrix near zero."""
    empty = weight.new_empty(weight.shape[outputs], weight.shape[1 - outputs])
    made = part.model_copy(update={"match": None})
    return Whole(spelt(made), outputs, part.near_zero(empty))
