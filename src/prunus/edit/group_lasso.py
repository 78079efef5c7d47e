"""The group lasso (Yuan and Lin, J. R. Statist. Soc. B 68, 2006) as a step of its own."""

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.site import Site, Slice, expand, reduce


def group_lasso(weight: Tensor, part: Slice, grid: tuple[int, ...], amount: float) -> Tensor:
    """Draw blocks towards zero as wholes: the proximal step of sum over blocks sqrt(n) |W_b|_2.

    W_b * max(0, 1 - amount * sqrt(n) / |W_b|_2) for blocks of n weights. It follows a step of the
    optimizer, with ``amount`` the learning rate times the penalty's coefficient. A block whose norm
    is at most amount * sqrt(n) is exactly zero afterwards and, as no gradient of a norm is taken,
    nothing is undefined there. What the slice leaves out stays as it is.

    Args:
        weight: any shape.
        part: where the blocks lie in it.
        grid: how many blocks there are along each axis.
        amount: how far; 0 changes nothing.

    Returns:
        The new weight.

    Raises:
        PrunusError: the amount is negative or not finite.

    >>> rows = Slice("weight", axes=(0,), tile=(1,))
    >>> group_lasso(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), rows, (2,), 2.0**-0.5)
    tensor([[2.4000, 3.2000],
            [0.0000, 0.0000]])
    """
    if amount < 0 or not isfinite(amount):
        raise PrunusError(f"{part.tensor}: group lasso by {amount}; the amount is 0 or more")
    wide = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
    sizes = reduce(part, wide.new_ones(()).expand(wide.shape), grid)
    norms = reduce(part, wide.square(), grid).sqrt().clamp_min(torch.finfo(wide.dtype).tiny)
    taken = (amount * sizes.sqrt() / norms).clamp_max(1)
    return (wide - wide * expand(part, taken, weight.shape)).to(weight.dtype)


def require_blocks(sites: Mapping[str, Site]) -> None:
    """Check that each site lies in one weight, as blocks that a group lasso draws do.

    Raises:
        PrunusError: one does not.
    """
    for site in sites.values():
        if len(site.slices) > 1:
            raise PrunusError(
                f"site {site.name!r}: a group lasso draws blocks of one weight matrix, such as 4x1;"
                " leave it out, or prune grids"
            )
