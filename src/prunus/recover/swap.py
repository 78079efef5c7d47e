"""Units exchanged within a sublayer (local search after OSSCAR, Meng et al., arXiv 2403.12983)."""

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from prunus.gram import EPSILON
from prunus.recover._choice import Choice
from prunus.recover._repair import Reader

ENOUGH = 1e-6
"""Exchanges that gain less than this share of the loss are not worth a round."""
DEPTH = 16
"""So many times the wanted pairs are looked at to find some without a unit in common."""
ROOM = 2**22
"""Numbers of one kind that are held for pairs at once."""


class Swap(Choice):
    """Exchange units that stay for units that go, as long as the refitted sublayer's loss falls.

    The loss of a choice S is what least squares on the student's inputs leaves of the distance
    from the dense model's residual stream (eq. 3 of the paper, there from the sublayer's own
    output), with the outputs weighed by the curvature of the answers where scoring took it. In
    each round the gain of every exchange of one unit for one is known exactly; the best ones
    without a unit in common are made together where their joint loss, also exact, is less than
    before, else half of them, down to a single one. So the loss only falls, and the search ends
    where no single exchange helps.

    Attributes:
        pool_factor: size of the pool to choose from, as a multiple of the units that stay.
        pool_extra: and so many more.
        ridge: of the fit, relative to the mean variance of an input.
        rounds: at most so many.
        share: of the units that stay, how many are exchanged at most in a round.
    """

    rounds: PositiveInt = 20
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.1

    def mend(self, reader: Reader) -> None:
        """Choose the units that stay."""
        units = reader.units
        if units.all() or not units.any():
            return
        gram, weight = self.objective(reader)
        gram.diagonal().add_(self.ridge * gram.diagonal().mean() + EPSILON)
        search = Exchange(gram, weight, units, reader.site.run)
        most = max(1, int(self.share * int(units.sum())))
        for _ in range(self.rounds):
            if not search.step(most):
                break
        reader.keep(search.kept.cpu())


class Exchange:
    """A choice of units, and what it would cost to exchange some.

    Keeping the inputs S costs L = tr(D^T H D), D = V - U, with U the best weights that are 0
    outside S. What follows from S is held as the principal pivot transform of [H, -H V] on S:
    ``table`` has H_SS^-1 at S, the Schur complement of H_SS at the others, -H_SS^-1 H_SP and its
    negative transpose between; ``right`` has U at S, and minus what the others would still explain
    outside. Units that come or go are a pivot on a few rows.

    Attributes:
        kept: [units] which units stay.
        loss: L.
    """

    def __init__(self, gram: Tensor, weight: Tensor, kept: Tensor, run: int) -> None:
        """Start from a choice.

        Args:
            gram: [inputs, inputs] H, positive definite, float64.
            weight: [inputs, outputs] V.
            kept: [units] which units stay.
            run: so many neighbouring units may be exchanged for each other only.
        """
        self.run, self.tile = run, len(gram) // len(kept)
        self.kept = torch.zeros(len(kept), dtype=torch.bool, device=gram.device)
        self.table, self.right = gram.clone(), -gram @ weight
        self.loss = -float((weight * self.right).sum())
        self._flip(kept.to(gram.device).nonzero()[:, 0], always=True)

    def step(self, most: int) -> bool:
        """Make up to ``most`` of the best exchanges; whether any helped."""
        stays, gone = self.kept.nonzero()[:, 0], (~self.kept).nonzero()[:, 0]
        pairs = disjoint(self.changes(stays, gone), most, -ENOUGH * self.loss)
        while len(pairs):
            units = torch.cat([stays[pairs[:, 0]], gone[pairs[:, 1]]])
            if self._flip(units, always=False):
                return True
            pairs = pairs[: len(pairs) // 2]
        return False

    def changes(self, stays: Tensor, gone: Tensor) -> Tensor:
        """[stays, gone] by how much the exchange of one for one would change the loss, exactly."""
        size = max(1, ROOM // (len(stays) * self.tile**2))
        found = torch.cat([self._changes(stays, part) for part in gone.split(size)], 1)
        return found.masked_fill(stays[:, None] // self.run != gone // self.run, torch.inf)

    def _changes(self, stays: Tensor, gone: Tensor) -> Tensor:
        """J comes: the loss falls by tr(R_J^T K R_J), K = (H_JJ - H_JS H_SS^-1 H_SJ)^-1.

        U_I is then U_I - C R_J, and the inverse's block E_II + C (H_SS^-1 H_SJ)_I^T, with
        C = (H_SS^-1 H_SJ)_I K; I goes: the loss grows as in :func:`prunus.gram.removals`.
        """
        at, of = self._inputs(stays), self._inputs(gone)
        across = -self._blocks(self.table[at][:, of])
        inner = inverse(self._diagonal(of))
        step = across @ inner
        block = self._diagonal(at)[:, None] + step @ across.mT
        weights, missing = self.right[at], self.right[of]
        lost = self._squares(missing)
        cross = -self._blocks(weights @ missing.T) @ step.mT
        after = self._squares(weights)[:, None] - cross - cross.mT + step @ lost @ step.mT
        return (inverse(block) * after).sum((-2, -1)) - (inner * lost).sum((-2, -1))

    def _flip(self, units: Tensor, *, always: bool) -> bool:
        """Let units change sides, unless the loss would grow: a principal pivot transform."""
        inputs, sign = self._inputs(units), self.kept[units].double() * 2 - 1
        rows, column, right = self.table[inputs], self.table[:, inputs], self.right[inputs]
        inner = torch.linalg.inv(rows[:, inputs])
        moved = inner @ right
        change = float((sign.repeat_interleave(self.tile)[:, None] * right * moved).sum())
        if change >= 0 and not always:
            return False
        across = inner @ rows
        self.right.addmm_(column, moved, alpha=-1)
        self.table.addmm_(column, across, alpha=-1)
        self.right[inputs], self.table[inputs] = -moved, -across
        self.table[:, inputs] = column @ inner
        self.table[inputs[:, None], inputs] = inner
        self.kept[units] = ~self.kept[units]
        self.loss += change
        return True

    def _inputs(self, units: Tensor) -> Tensor:
        """The inputs of some units."""
        return (units[:, None] * self.tile + torch.arange(self.tile, device=units.device)).flatten()

    def _blocks(self, matrix: Tensor) -> Tensor:
        """[n, m] as [n / tile, m / tile, tile, tile]."""
        rows, columns = (size // self.tile for size in matrix.shape)
        return matrix.reshape(rows, self.tile, columns, self.tile).transpose(1, 2)

    def _diagonal(self, inputs: Tensor) -> Tensor:
        """[units, tile, tile] the table's diagonal blocks."""
        units = inputs.reshape(-1, self.tile)
        return self.table[units[:, :, None], units[:, None, :]]

    def _squares(self, rows: Tensor) -> Tensor:
        """[units, tile, tile] the products of each unit's rows."""
        own = rows.reshape(-1, self.tile, rows.shape[1])
        return own @ own.mT


def inverse(blocks: Tensor) -> Tensor:
    """[..., tile, tile] the inverses; reciprocals where the blocks are numbers."""
    return blocks.reciprocal() if blocks.shape[-1] == 1 else torch.linalg.inv(blocks)


def disjoint(changes: Tensor, most: int, least: float) -> Tensor:
    """[pairs, 2] the lowest entries of a matrix, each row and column once at most.

    Args:
        changes: [rows, columns].
        most: at most so many pairs; those that clash with lower ones may leave fewer.
        least: only entries below it.
    """
    values, flat = changes.flatten().topk(min(changes.numel(), DEPTH * most), largest=False)
    rows: set[int] = set()
    columns: set[int] = set()
    found = []
    for place in flat[values < least].tolist():
        row, column = divmod(place, changes.shape[1])
        if len(found) < most and row not in rows and column not in columns:
            found.append((row, column))
            rows.add(row)
            columns.add(column)
    return torch.tensor(found, device=changes.device).reshape(-1, 2).long()
