"""Filters that others can replace go (FPGM, He et al., CVPR 2019, arXiv 1811.00250)."""

from typing import ClassVar

import torch
from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion
from prunus.site import Slice

ROWS = 1024


class Fpgm(Criterion):
    """Sum of the Euclidean distances to all other filters of the layer (equation 7).

    The filter with the least sum is nearest to the layer's geometric median. Where several layers
    put out the same units their distances are summed.
    """

    per_cost: ClassVar[bool] = False

    def score(self, evidence: Evidence) -> Tensor:
        """[units] sums of distances.

        Raises:
            PrunusError: the site is not the output of linear layers or convolutions.
        """
        units = evidence.site.units
        filters = [_flat(part, weight, units) for part, weight in evidence.filters()]
        return torch.stack([_distances(own) for own in filters]).sum(0)


def _flat(part: Slice, weight: Tensor, units: int) -> Tensor:
    """[unit, entries of its filters]."""
    size = part.tile[0]
    own = weight.movedim(part.axis, 0).narrow(0, part.start, units * size)
    return own.reshape(units, -1).double()


def _distances(filters: Tensor) -> Tensor:
    """[unit]: sums of distances to all units, a few rows at a time."""
    return torch.cat([torch.cdist(rows, filters).sum(1) for rows in filters.split(ROWS)])
