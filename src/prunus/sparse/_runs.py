"""A weight matrix as the runs of neighbouring outputs that hold anything but zeros."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from prunus.edit.blocks import alive, tiles

COST = {1: 3.0, 4: 1.2, 16: 1.2, 32: 1.0}
"""By a run's length: time of a held weight, those that are zero as well (benchmarks/sparse.py)."""


@dataclass(frozen=True)
class Runs:
    """Runs one after the other, panel by panel, in the order of their inputs.

    A panel is as many outputs as a run is long.

    Attributes:
        shape: outputs and inputs of the matrix.
        starts: [panels + 1] int64, a panel's first run, and behind the last one how many there are.
        columns: [runs] int32, the input of each.
        values: [runs, length] float32, the weights of each.
        bias: [panels * length] float32, zeros behind the last output.
    """

    shape: tuple[int, int]
    starts: Tensor
    columns: Tensor
    values: Tensor
    bias: Tensor

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None, length: int) -> "Runs":
        """The runs of a matrix.

        Args:
            weight: [outputs, inputs] float32.
            bias: [outputs], or None for zeros.
            length: how many outputs a run has.
        """
        outputs, inputs = weight.shape
        panels, live = -(-outputs // length), _live(weight, length)
        blocks = tiles(_padded(weight, length), (length, 1)).squeeze(-1)
        starts = pad(live.sum(1).cumsum(0), (1, 0))
        columns = live.nonzero()[:, 1].to(torch.int32)
        whole = weight.new_zeros(panels * length)
        if bias is not None:
            whole[:outputs] = bias
        return cls((outputs, inputs), starts, columns, blocks[live], whole)


def length_of(weight: Tensor) -> int:
    """The length of runs, 1, 4, 16 or 32, by which a product with a matrix takes the least time."""
    held = {length: length * int(_live(weight, length).sum()) for length in reversed(COST)}
    return min(held, key=lambda length: COST[length] * held[length])


def density_of(weight: Tensor, length: int) -> float:
    """The share of a matrix that lies in runs of this length with anything but zeros."""
    return float(_live(weight, length).float().mean())


def _live(weight: Tensor, length: int) -> Tensor:
    """[panels, inputs] bool: which runs hold anything but zeros."""
    return alive(_padded(weight, length), (length, 1))


def _padded(weight: Tensor, length: int) -> Tensor:
    """With zeros below, so that runs divide it."""
    return pad(weight, (0, 0, 0, -len(weight) % length))
