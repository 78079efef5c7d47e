"""Runs of neighbours of which n of m stay, or all (N:M sparsity, Zhou et al., arXiv 2102.04010)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from prunus.site import Site

SMALL = 8
"""Runs up to this length are ranked by comparing every pair, longer ones are sorted."""
CHUNK = 2**16
"""Runs that are ranked at once, so that they stay in the processor's cache."""


@dataclass(frozen=True)
class Runs:
    """The runs of a site's grid, which lie along its second dimension.

    Attributes:
        shape: of the grid.
        n: how many of a run stay in any case.
        m: the length of a run; at the end of a row it may be shorter.
        low: [run, m] which are the lowest m - n of each run.
        keys: [run] what those are worth: their mean score.
    """

    shape: tuple[int, ...]
    n: int
    m: int
    low: Tensor
    keys: Tensor

    @classmethod
    def of(cls, site: Site, scores: Tensor) -> "Runs":
        """The runs of a site with ``among``, by [*grid] scores."""
        n, m = site.among
        rows = scores.movedim(1, -1)
        if short := -rows.shape[-1] % m:
            rows = functional.pad(rows, (0, short), value=-torch.inf)
        low, keys = _lowest(rows.reshape(-1, m), n)
        return cls(site.shape, n, m, low, keys)

    def mask(self, stays: Tensor) -> Tensor:
        """[*grid] bool: what is not low, and all of the runs [run] that stay whole."""
        rows, inputs, *rest = self.shape
        mask = (~self.low).logical_or_(stays[:, None]).reshape(rows, *rest, -1)
        return mask[..., :inputs].movedim(-1, 1)


def _lowest(runs: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """([run, m] which are the lowest m - n, the first of equal ones not; [run] their mean)."""
    count, m = runs.shape
    low = torch.empty(count, m, dtype=torch.bool, device=runs.device)
    keys = torch.empty(count, dtype=runs.dtype, device=runs.device)
    for chunk in torch.arange(count).split(CHUNK):
        part = slice(int(chunk[0]), int(chunk[-1]) + 1)
        columns = runs[part].T.contiguous()
        gone = _ranks(columns) >= n
        low[part] = gone.T
        keys[part] = torch.where(gone & columns.isfinite(), columns, 0).sum(0) / (m - n)
    return low, keys


def _ranks(columns: Tensor) -> Tensor:
    """[m, run]: how many of its run are better than each, or as good and before it."""
    m, count = columns.shape
    if m > SMALL:
        return columns.argsort(dim=0, descending=True, stable=True).argsort(dim=0)
    ranks = torch.zeros(m, count, dtype=torch.uint8, device=columns.device)
    for one in range(m):
        for other in range(one):
            better = columns[other] >= columns[one]
            ranks[one] += better
            ranks[other] += ~better
    return ranks
