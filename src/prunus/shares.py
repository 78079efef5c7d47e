"""A batch that several passes, in one process or in many, learn from together."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""The label of what has none."""
Count = Callable[[Mapping[str, Tensor]], int]
"""How many answers a mean over a batch is taken of."""


class Share(dict[str, Any]):
    """Rows of a batch, as a batch of their own that knows of the others.

    Where there are fewer rows than shares, some are empty: such a share holds the first row of the
    batch, which weighs nothing.

    Attributes:
        whole: the batch.
        place: of this share among all, from 0.
        of: how many shares the batch has; the mean of their losses is the batch's.
        shifted: whether the label of each token is the next one, so that the first is never asked.
    """

    def __init__(
        self, whole: Mapping[str, Tensor], place: int = 0, of: int = 1, shifted: bool = False
    ) -> None:
        """Consecutive rows: numbers of rows differ by one at the most."""
        self.whole, self.place, self.of, self.shifted = whole, place, of, shifted
        count = samples_of(whole)
        self._rows = slice(count * place // of, count * (place + 1) // of)
        self._empty = self._rows.start == self._rows.stop
        super().__init__(self._cut(slice(0, 1) if self._empty else self._rows))

    def _cut(self, rows: slice) -> dict[str, Tensor]:
        return {name: tensor[rows] for name, tensor in self.whole.items()}

    def moved(self, tensors: Mapping[str, Tensor]) -> "Share":
        """The same with its rows elsewhere, such as on a GPU."""
        other = Share(self.whole, self.place, self.of, self.shifted)
        other.update(tensors)
        return other

    def weight(self, count: Count) -> float:
        """Of a mean over this share; over all shares, the mean of weights is 1."""
        if self._empty:
            return 0.0
        return self.of * count(self._cut(self._rows)) / max(1, count(self.whole))


def samples_of(batch: Mapping[str, Tensor]) -> int:
    """How many samples a batch holds."""
    return next(iter(batch.values())).shape[0]


def weighed(mean: Tensor, batch: Mapping[str, Tensor], count: Count = samples_of) -> Tensor:
    """[] a mean over a batch, as it counts among the shares of a greater one, where it is one.

    Args:
        mean: of the batch; not a number, where the batch has no answers.
        batch: a share, or a batch by itself.
        count: of what the mean is taken.
    """
    if not isinstance(batch, Share):
        return mean
    weight = batch.weight(count)
    return mean * weight if weight else torch.nan_to_num(mean) * 0.0


def weighed_loss(loss: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """[] a model's own loss, the mean over the labels of a batch, as :func:`weighed` has it."""
    shifted = isinstance(batch, Share) and batch.shifted
    return weighed(loss, batch, lambda of: _labels(of, int(shifted)))


def _labels(batch: Mapping[str, Tensor], first: int) -> int:
    """How many there are, of tokens or of samples."""
    labels = batch.get("labels")
    if labels is None or labels.dim() != 2 or labels.is_floating_point():
        return samples_of(batch)
    return int((labels[:, first:] != IGNORED).sum())
