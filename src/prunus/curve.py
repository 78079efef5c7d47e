"""The loss of a site as its units go, one after the other."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Curve:
    """What removing a site's units costs.

    Attributes:
        order: [units] flat indices, the first to go first.
        loss: [units + 1] the loss when the first 0, 1, 2 ... of them are gone.

    >>> Curve.of(torch.tensor([3.0, 1.0, 2.0]))
    Curve(order=tensor([1, 2, 0]), loss=tensor([0., 1., 3., 6.], dtype=torch.float64))
    """

    order: Tensor
    loss: Tensor

    @classmethod
    def of(cls, scores: Tensor) -> "Curve":
        """The curve of scores that add up: the least goes first."""
        flat = scores.detach().double().cpu().flatten()
        order = flat.argsort(stable=True)
        return cls(order, torch.cat([flat.new_zeros(1), flat[order].cumsum(0)]))

    @property
    def scores(self) -> Tensor:
        """[units] what each unit adds as it goes, at least as much as those before it."""
        steps = self.loss.diff().cummax(0).values
        return torch.empty_like(steps).scatter(0, self.order, steps)
