"""How much of each weight is not zero, and in which blocks it lies."""

from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, nn

from prunus.anatomy._tensors import WEIGHTED
from prunus.edit.blocks import Block, alive, block_of

LAYERS = (*WEIGHTED, nn.Conv3d)
CHANCE = 0.001
"""The share of a weight that may be zero though nothing was removed."""


@dataclass(frozen=True)
class Weight:
    """The weight of one module.

    Attributes:
        name: the module's.
        kind: its class: Linear, Conv1D, Conv2d, Embedding ...
        shape: of the weight, as it lies in the module.
        nonzero: how many of its elements are not zero.
        block: (rows, columns) of the blocks that its zeros lie in, see
            :func:`prunus.edit.blocks.block_of`; None where hardly any are zero.
        live: how many of these blocks are not all zeros.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    nonzero: int
    block: Block | None = None
    live: int | None = None

    @property
    def of(self) -> int:
        """How many elements it has."""
        return prod(self.shape)

    @property
    def pruned(self) -> bool:
        """Whether more of it is zero than chance explains."""
        return self.of - self.nonzero > CHANCE * self.of


@dataclass(frozen=True)
class Density:
    """The weights of a model.

    Attributes:
        layers: linear layers and convolutions, the head's too.
        embeddings: apart; a weight that a linear layer shares with an embedding stands in both.
    """

    layers: tuple[Weight, ...]
    embeddings: tuple[Weight, ...]

    @property
    def pruned(self) -> tuple[Weight, ...]:
        """The layers that hold more zeros than chance explains."""
        return tuple(weight for weight in self.layers if weight.pruned)

    @property
    def nonzero(self) -> int:
        """How many elements of the layers are not zero."""
        return sum(weight.nonzero for weight in self.layers)

    @property
    def of(self) -> int:
        """How many elements the layers have."""
        return sum(weight.of for weight in self.layers)


def densities(model: nn.Module) -> Density:
    """Count the zeros of every linear layer, convolution and embedding.

    Args:
        model: any model; weights that several modules share count once among the layers, and once
            among the embeddings.
    """
    return Density(_weights(model, LAYERS), _weights(model, (nn.Embedding,)))


def as_neural_compressor(found: Density, dense: Density | None = None) -> float:
    """The amount in the words of Intel neural-compressor 2: how much was removed, from 0 to 1.

    Its "Element-wise/matmul, Gemm, conv ratio" is the zeros of the pruned layers over all elements
    of the weights of linear layers and convolutions, pooler and head included, embeddings not.

    Args:
        found: the weights of the pruned model.
        dense: those of the dense one, where units were removed physically, which count as zeros.
    """
    whole, left = dense or found, {weight.name: weight.nonzero for weight in found.layers}
    gone = ((weight.of, weight.of - left.get(weight.name, 0)) for weight in whole.layers)
    return sum(zeros for of, zeros in gone if zeros > CHANCE * of) / max(1, whole.of)


def _weights(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> tuple[Weight, ...]:
    made: list[tuple[str, Any]] = [(n, m) for n, m in model.named_modules() if isinstance(m, kinds)]
    found: dict[Tensor, Weight] = {}
    for name, module in made:
        weight = module.weight
        if weight not in found:
            found[weight] = _weight(name, type(module).__name__, weight.detach())
    return tuple(found.values())


def _weight(name: str, kind: str, weight: Tensor) -> Weight:
    nonzero, block = int(weight.count_nonzero()), block_of(weight)
    live = None if block is None else int(alive(weight, block).sum())
    return Weight(name, kind, tuple(weight.shape), nonzero, block, live)
