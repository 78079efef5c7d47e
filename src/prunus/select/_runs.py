"""Runs of neighbours of which n of m stay, or all (N:M sparsity, Zhou et al., arXiv 2102.04010)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf

import torch
from torch import Tensor

from prunus.site import Site

SMALL = 8
"""Runs up to this length are ranked by comparing every pair, longer ones are sorted."""
CHUNK = 2**14
"""Runs that are ranked at once, so that they stay in the processor's cache."""


@dataclass(frozen=True)
class Runs:
    """Runs of one length, in the rows of a grid.

    Attributes:
        low: [rows, ..., run, length] which units come and go together: all but the best n.
        keys: [rows, ..., run] what those are worth: their mean score; -inf where one is gone.
        step: how many those are.
    """

    low: Tensor
    keys: Tensor
    step: int

    @classmethod
    def of(cls, scores: Tensor, n: int) -> "Runs":
        """Runs [rows, ..., run, length] of scores, of which n stay in any case."""
        *outer, length = scores.shape
        flat = scores.reshape(-1, length)
        low = torch.empty(flat.shape, dtype=torch.bool, device=flat.device)
        keys = torch.empty(len(flat), dtype=flat.dtype, device=flat.device)
        for start in range(0, len(flat), CHUNK):
            part = slice(start, start + CHUNK)
            columns = torch.stack(flat[part].unbind(1))
            gone = _ranks(columns) >= n
            torch.stack(gone.unbind(), 1, out=low[part])
            torch.sum(columns.mul_(gone), 0, out=keys[part])
        keys.div_(length - n).nan_to_num_(nan=-inf, neginf=-inf)  # NaN: 0 times -inf
        return cls(low.view(*outer, length), keys.view(outer), length - n)

    def mask(self, stays: Tensor) -> Tensor:
        """[rows, ..., units] bool: what is not low, and all of the runs [any] that stay whole."""
        whole = torch.stack([stays.view(self.keys.shape)] * self.low.shape[-1], -1)
        return whole.logical_or_(~self.low).flatten(-2)


def runs_of(site: Site, scores: Tensor) -> tuple[Runs, ...]:
    """The runs of a site with ``among``, by [*grid] scores, of which any may go.

    Those of their full length come first, then shorter ones at the ends of rows.
    """
    n, m = site.among
    rows = scores.movedim(1, -1)
    count = rows.shape[-1] // m
    pieces = rows[..., : count * m].unflatten(-1, (count, m)), rows[..., None, count * m :]
    return tuple(Runs.of(piece, n) for piece in pieces if piece.numel() and piece.shape[-1] > n)


def joined(site: Site, runs: Sequence[Runs], stays: Sequence[Tensor]) -> Tensor:
    """[*grid] bool of what stays of a site, by the runs [any] that stay whole."""
    rows, inputs, *rest = site.shape
    masks = [own.mask(whole) for own, whole in zip(runs, stays, strict=True)]
    width = sum(mask.shape[-1] for mask in masks)
    device = masks[0].device if masks else None
    masks.append(torch.ones(rows, *rest, inputs - width, dtype=torch.bool, device=device))
    return torch.cat(masks, -1).movedim(-1, 1)


def _ranks(columns: Tensor) -> Tensor:
    """[m, run]: how many of its run are better than each, or as good and before it."""
    m, count = columns.shape
    if m > SMALL:
        return columns.argsort(dim=0, descending=True, stable=True).argsort(dim=0)
    places = torch.arange(m - 1, -1, -1, dtype=torch.uint8, device=columns.device)
    ranks = places[:, None].repeat(1, count)  # as if all were worse than those behind them
    for one, other in combinations(range(m), 2):
        better = (columns[one] >= columns[other]).view(torch.uint8)
        ranks[one] -= better
        ranks[other] += better
    return ranks
