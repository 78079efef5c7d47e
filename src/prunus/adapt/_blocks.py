"""Deltas that are sums of Kronecker products: every block is a mixture of prototypes."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from math import sqrt
from typing import Any, ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from prunus.adapt._adaptation import Centred
from prunus.adapt._adapter import Adapter
from prunus.adapt._prototypes import Matrices, Products, Prototypes, shared
from prunus.registry import spelt

BlockRank = PositiveInt | Literal["full"]


class Blocks(Adapter):
    """sum_i A_i (x) P_i, with A_i [outputs / p, inputs / q] and prototypes P_i [p, q].

    Attributes:
        grid: how many blocks the weight has: (outputs / p, inputs / q).
        positions: [n, blocks] the entries of all A_i, row by row; those of blocks that are gone
            are left out.
        places: [blocks] which blocks they are; None is all.
    """

    apart: ClassVar[bool] = False
    places: Tensor | None

    def __init__(
        self, made: dict[str, Any], positions: Tensor, prototypes: Prototypes, *, own: bool
    ) -> None:
        """Learn from ``positions`` [n, *grid], and from prototypes that are its own or not."""
        super().__init__(made, ())
        self.grid = tuple(positions.shape[1:])
        self.positions = nn.Parameter(positions.flatten(1))
        self.register_buffer("places", None)
        self._of = (prototypes,)  # a tuple, so that who shares them does not hold them as well
        if own:
            self.prototypes = prototypes

    def blocks(self) -> Tensor:
        """[n, p, q] the prototypes."""
        return self._of[0].blocks().to(self.positions)

    def matrix(self) -> Tensor:
        """The delta, as one product of matrices; nothing on the way is larger than it."""
        blocks = self.blocks()
        count, (rows, columns) = self.grid[0] * self.grid[1], self.grid
        tiles = self.positions.T @ blocks.flatten(1)
        if self.places is not None:
            whole = tiles.new_zeros(count, tiles.shape[1])
            tiles = whole.index_copy(0, self.places, tiles)
        tiles = tiles.view(rows, columns, *blocks.shape[1:]).transpose(1, 2)
        return tiles.reshape(rows * blocks.shape[1], columns * blocks.shape[2])

    def factors(self) -> Iterator[nn.Parameter]:
        """Positions, and prototypes, whoever owns them."""
        own = {id(factor): factor for factor in self.parameters()}
        return chain(own.values(), (p for p in self._of[0].parameters() if id(p) not in own))

    def paced(self) -> Iterator[nn.Parameter]:
        """The positions."""
        yield self.positions

    @property
    def stays(self) -> Tensor:
        """[*grid] bool: the blocks that are not gone."""
        if self.places is None:
            return torch.ones(self.grid, dtype=torch.bool)
        flat = torch.zeros(self.grid[0] * self.grid[1], dtype=torch.bool)
        flat[self.places.cpu()] = True
        return flat.view(self.grid)

    def keep(self, stays: Tensor) -> None:
        """Leave the positions of all other blocks out; they are new parameters then.

        Args:
            stays: [*grid] bool; blocks that are gone stay gone.
        """
        before = self.stays
        if bool((stays.cpu() | ~before).all()):
            return
        chosen = stays.cpu()[before].nonzero()[:, 0].to(self.positions.device)
        places = (stays.cpu() & before).flatten().nonzero()[:, 0]
        learns = self.positions.requires_grad
        kept = self.positions.detach().index_select(1, chosen)
        self.positions = nn.Parameter(kept, requires_grad=learns)
        self.places = places.to(self.positions.device)

    def scale(self, values: Tensor) -> bool:
        """Scale positions by values [outputs, inputs]; not where a block has several of them."""
        rows, columns = self.grid
        tiles = values.unflatten(1, (columns, -1)).unflatten(0, (rows, -1))
        own = tiles[:, 0, :, 0]
        if not bool((tiles == own[:, None, :, None]).all()):
            return False
        with torch.no_grad():
            self.positions.mul_(own[self.stays.to(own.device)])
        self.keep(own != 0)
        return True


class Blockwise(Centred):
    """An adaptation by Kronecker products, in convolutions of the centre tap."""

    rides: ClassVar[bool] = False
    counted: ClassVar[bool] = False
    """Whether :meth:`steps` says how many blocks lie along an axis, or how long one is."""

    def steps(self, outputs: int, inputs: int) -> tuple[int, int]:
        """What must divide a weight's outputs and inputs."""
        raise NotImplementedError

    def fault(self, shape: Sequence[int]) -> str:
        """A kernel without a centre, or sizes that are not of whole blocks."""
        outputs, inputs = shape[:2]
        one, other = self.steps(outputs, inputs)
        if outputs % one or inputs % other:
            return f"{one}x{other} does not divide its {outputs} outputs and {inputs} inputs"
        return super().fault(shape)

    def blocks(
        self, weight: Tensor, outputs: int, n: int, rank: BlockRank, owner: nn.Module | None
    ) -> Blocks:
        """A sum of ``n`` products for a weight.

        Args:
            weight: of a layer.
            outputs: the axis of its outputs.
            n: prototypes.
            rank: of each prototype.
            owner: has the prototypes that layers share; None where they are the layer's own.
        """
        sizes = (weight.shape[outputs], weight.shape[1 - outputs])
        steps = self.steps(*sizes)
        turns = tuple(size // step for size, step in zip(sizes, steps, strict=True))
        grid, (p, q) = (steps, turns) if self.counted else (turns, steps)
        bound = 1 / sqrt(grid[0] * grid[1])
        positions = nn.init.uniform_(weight.new_empty(n, *grid), -bound, bound)
        draw = partial(self._prototypes, weight, n, p, q, rank)
        own = draw() if owner is None else shared(owner, f"{n}_{p}x{q}_{rank}", draw)
        made = spelt(self.model_copy(update={"match": None}))
        return Blocks(made, positions, own, own=owner is None)

    def _prototypes(self, like: Tensor, n: int, p: int, q: int, rank: BlockRank) -> Prototypes:
        """Prototypes near zero, of the type and device of a weight."""
        if rank == "full":
            return Matrices(self.near_zero(like.new_empty(n, p, q)))
        bound = 1 / sqrt(rank * q)
        rows = nn.init.uniform_(like.new_empty(n, rank, q), -bound, bound)
        return Products(self.near_zero(like.new_empty(n, p, rank)), rows)
