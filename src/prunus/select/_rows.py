"""Selection within every output of a weight matrix by itself (Wanda, arXiv 2306.11695)."""

from fractions import Fraction

import torch
from torch import Tensor

from prunus.curve import Curve
from prunus.errors import PrunusError
from prunus.select._blocks import blocks
from prunus.select._budget import Budget, Rule
from prunus.site import Site


def rows(
    site: Site, scores: Tensor | Curve, density: float, budget: Budget, rule: Rule | None
) -> Tensor:
    """[*grid] bool: of each row of the grid the best units, floor(density * units of a row).

    Args:
        site: a grid.
        scores: [*grid].
        density: the fraction of each row that stays.
        budget: for its floor and ceiling, which bound every row.
        rule: of the site.

    Raises:
        PrunusError: the site is no grid, or the density is below its floor or what its pattern
            leaves.
    """
    if site.removable or isinstance(scores, Curve):
        raise PrunusError(
            f"site {site.name!r} of kind {site.kind!r}: scope: row keeps the same fraction of every"
            " output of a weight matrix, which takes a grid among the sites and select: greedy;"
            " use scope: local"
        )
    found, count = blocks(site, scores, 1.0, budget, rule), site.shape[0]
    wanted = int(Fraction(density).limit_denominator(10**9) * (site.units // count))
    least, most = -(-found.least // count), found.most // count
    if wanted < least:
        raise PrunusError(
            f"site {site.name!r}: a density of {density} leaves {wanted} units of each row, but the"
            f" floor or the pattern asks for {least}; raise the density"
        )
    left = min(wanted, most)
    if not site.among:
        return found.mask([_best(found.keys.reshape(count, -1), left).flatten()])
    left, stays = left - site.least // count, list[Tensor]()
    for runs in found.runs:
        keys = runs.keys.reshape(count, -1)
        more = min(keys.shape[1], left // runs.step)
        stays.append(_best(keys, more).flatten())
        left -= more * runs.step
    return found.mask(stays)


def _best(keys: Tensor, count: int) -> Tensor:
    """[row, unit] bool: the ``count`` greatest of every row, of equal ones the first."""
    if not count:
        return torch.zeros_like(keys, dtype=torch.bool)
    edge = keys.kthvalue(keys.shape[1] - count + 1, dim=1, keepdim=True).values
    above, equal = keys > edge, keys == edge
    return above | (equal & (equal.cumsum(1) <= count - above.sum(1, keepdim=True)))
