"""Single weights go, those right of them make up for it (SparseGPT, arXiv 2301.00774)."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from prunus.gram import factor_of
from prunus.recover._repair import Reader, Repair
from prunus.site import Site, Slice, expand, reduce


class Sparsegpt(Repair):
    """Choose the weights of a linear layer that stay, and mend them, from the left to the right.

    With H = X X^T of the layer's inputs in the pruned model and U the upper Cholesky factor of
    H^-1, removing weight w_i of an output adds (w_i / U_ii)^2 to the squared error of the outputs
    when all inputs right of i make up for it: w -= w_i / U_ii U_i (algorithm 1; Frantar & Alistarh,
    ICML 2023). Units are chosen by that error when their turn comes: in each block of columns over
    all outputs, in proportion to its size, as many as the plan keeps of the layer; of runs (2:4) in
    each as many as the plan keeps there.

    Attributes:
        ridge: added to H, relative to its mean diagonal.
        columns: inputs of a block.
    """

    at: ClassVar[Literal["reader", "entry", "weights"]] = "weights"
    ridge: PositiveFloat = 0.01
    columns: PositiveInt = 128

    def mend(self, reader: Reader) -> None:
        """Choose what stays, and write the weights."""
        if reader.stays.all():
            return
        inverse = torch.cholesky_inverse(factor_of(reader.moments.gram, self.ridge))
        factor = torch.linalg.cholesky(inverse, upper=True)
        done = Elimination(reader.weight.double(), factor, reader.site, reader.stays)
        done.run(self.columns)
        reader.weight.copy_(done.weight)
        reader.stays = done.stays


@dataclass
class Elimination:
    """A linear layer on its way from the first input to the last.

    Attributes:
        weight: [inputs, outputs] float64, what is left of the weight; changed in place.
        factor: [inputs, inputs] U, with H^-1 = U^T U.
        site: the grid, [outputs, inputs] in tiles.
        planned: [*grid] bool, how many units stay.
        stays: [*grid] bool, which do.
    """

    weight: Tensor
    factor: Tensor
    site: Site
    planned: Tensor
    stays: Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is chosen yet."""
        self.planned = self.planned.to(self.weight.device)
        self.stays = self.planned.clone()

    @property
    def step(self) -> int:
        """Inputs that are chosen together at the least: those of a run, or of a tile."""
        return self.site.among[1] if self.site.among else self.site.slices[0].tile[1]

    def run(self, columns: int) -> None:
        """Go through the inputs in blocks of about so many columns."""
        width = max(1, columns // self.step) * self.step
        for start in range(0, len(self.weight), width):
            block = slice(start, min(start + width, len(self.weight)))
            errors = self._block(block, self.step if self.site.among else width)
            rest = slice(block.stop, None)
            self.weight[rest] -= self.factor[block, rest].T @ errors

    def _block(self, block: slice, width: int) -> Tensor:
        """Remove within a block, [inputs, outputs] what each of its inputs leaves to the others."""
        weight, factor = self.weight[block], self.factor[block, block]
        errors = torch.empty_like(weight)
        for start in range(0, len(weight), width):
            part = slice(start, start + width)
            gone = ~self._chosen(weight[part] / factor.diagonal()[part, None], block.start + start)
            for column, own in enumerate(gone, start):
                errors[column] = torch.where(own, weight[column], 0) / factor[column, column]
                weight[column:].addr_(factor[column, column:], errors[column], alpha=-1)
                weight[column].masked_fill_(own, 0)
        return errors

    def _chosen(self, roots: Tensor, start: int) -> Tensor:
        """[inputs, outputs] bool: what stays of some inputs from ``start`` on.

        Args:
            roots: [inputs, outputs] w_i / U_ii.
            start: the first of the inputs.
        """
        tile = self.site.slices[0].tile
        place = Slice("", (1, 0), tile)
        first, end = start // tile[1], -(-(start + len(roots)) // tile[1])
        own = self.planned[:, first:end]
        costs = reduce(place, roots.square(), tuple(own.shape))
        if self.site.among:
            counts = own.sum(1, keepdim=True)
        else:
            costs, whole = costs.reshape(1, -1), self.planned
            total, size = int(whole.sum()), whole.shape[1]
            counts = total * end // size - total * first // size
        order = costs.argsort(dim=1, descending=True, stable=True)
        places = torch.arange(order.shape[1], device=order.device).expand_as(order)
        ranks = torch.empty_like(order).scatter_(1, order, places)
        stays = (ranks < counts).reshape(own.shape)
        self.stays[:, first:end] = stays
        return expand(place, stays, roots.shape)
