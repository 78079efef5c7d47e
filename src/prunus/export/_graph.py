"""A part of a model that becomes one file: named tensors in, named tensors out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Graph:
    """A module that is to be traced.

    Attributes:
        name: what it does: ``model``, ``encoder`` or ``decoder``.
        module: ``module(**inputs)`` gives a dict of tensors.
        example: inputs of at least two rows, since axes of one are taken for constants.
        axes: {input: {axis: the name of its size}}, the others are constants.
    """

    name: str
    module: nn.Module
    example: Tensors
    axes: Mapping[str, Mapping[int, str]]


def tensors_of(output: Any) -> dict[str, Tensor]:
    """The tensors of a model's output by name, without its loss."""
    return {k: v for k, v in output.items() if isinstance(v, Tensor) and k != "loss"}
