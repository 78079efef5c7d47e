"""What is added to a frozen weight: a module of its own, whose tensors ride on the weight's axes.

Weights are read as matrices [outputs, inputs], those of convolutions with their kernel behind; the
inputs of a grouped convolution are those of one group.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn


class Host(Protocol):
    """A layer as its adapter sees it."""

    groups: int

    def read(self, x: Tensor, matrix: Tensor) -> Tensor:
        """What the layer makes of its input with ``matrix`` for its weight, and no bias."""
        ...

    def mix(self, hidden: Tensor, matrix: Tensor) -> Tensor:
        """Every position of what was read, times [outputs, hidden of one group]."""
        ...


class Adapter(nn.Module):
    """A delta of a weight.

    Attributes:
        made: how it was made, as people write it: name, rank and other settings.
        rides: (tensor, its axis, the axis of the weight that it follows).
        apart: the layer's output and what the delta adds to it are computed apart; or else once,
            with the effective weight.
    """

    apart: ClassVar[bool] = True

    def __init__(self, made: dict[str, Any], rides: tuple[tuple[str, int, int], ...]) -> None:
        """Keep what is told of it."""
        super().__init__()
        self.made, self.rides = made, rides

    def matrix(self) -> Tensor:
        """The delta: [outputs, inputs], or [outputs, inputs, *kernel]."""
        raise NotImplementedError

    def forward(self, x: Tensor, host: Host) -> Tensor:
        """What the delta adds to the layer's output."""
        return host.read(x, self.matrix())

    def factors(self) -> Iterator[nn.Parameter]:
        """All that is learnt of the delta, what it shares with others too."""
        return self.parameters()

    def paced(self) -> Iterator[nn.Parameter]:
        """What of it learns at the adaptation's own learning rate."""
        return self.factors()

    def scale(self, values: Tensor) -> bool:
        """Multiply the delta by values [outputs, inputs], in place, if it can say the product."""
        return False


class LowRank(Adapter):
    """The product of ``cols`` [outputs, rank] and ``rows`` [rank, inputs], or with a kernel."""

    def __init__(self, made: dict[str, Any], outputs: int, rows: Tensor, cols: Tensor) -> None:
        """Learn from ``rows`` and ``cols``; ``outputs`` is the axis of the weight's outputs."""
        super().__init__(made, (("cols", 0, outputs), ("rows", 1, 1 - outputs)))
        self.rows, self.cols = nn.Parameter(rows), nn.Parameter(cols)

    def matrix(self) -> Tensor:
        """The product."""
        return (self.cols @ self.rows.flatten(1)).unflatten(1, self.rows.shape[1:])

    def forward(self, x: Tensor, host: Host) -> Tensor:
        """One factor after the other, unless the product is the cheaper way."""
        apart = host.groups * self.rows.numel() + self.cols.numel()
        if apart >= self.cols.shape[0] * self.rows[:1].numel():
            return super().forward(x, host)
        rows = torch.cat((self.rows,) * host.groups) if host.groups > 1 else self.rows
        return host.mix(host.read(x, rows), self.cols)


class Whole(Adapter):
    """A matrix ``delta`` [outputs, inputs]."""

    def __init__(self, made: dict[str, Any], outputs: int, delta: Tensor) -> None:
        """Learn from ``delta``; ``outputs`` is the axis of the weight's outputs."""
        super().__init__(made, (("delta", 0, outputs), ("delta", 1, 1 - outputs)))
        self.delta = nn.Parameter(delta)

    def matrix(self) -> Tensor:
        """The matrix itself."""
        return self.delta
