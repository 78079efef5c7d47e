"""Weights as grids of blocks, in any torch module: what patterns mask."""

import re
from collections.abc import Iterable, Iterator
from math import prod
from typing import Literal

from prunus.anatomy._tensors import WEIGHTED, Tensors
from prunus.errors import PrunusError, unknown
from prunus.site import Site, Slice
from prunus.tiling import Tiling

Indivisible = Literal["error", "skip", "pad"]


def grids(
    tensors: Tensors,
    tiling: Tiling,
    match: str = ".*",
    *,
    types: Iterable[str] | None = None,
    indivisible: Indivisible = "error",
    head: bool = False,
) -> Iterator[Site]:
    """The weights of linear layers and convolutions as grids.

    A linear layer's grid is [outputs, inputs] in blocks; a convolution's [outputs, inputs, kernel
    positions], so that blocks and runs lie along the channels of one position.

    Args:
        tensors: of the model.
        tiling: how weights are put together.
        match: regular expression for the whole name of a module.
        types: names of classes, of those in :data:`prunus.anatomy._tensors.WEIGHTED`; None is all.
        indivisible: weights that the blocks do not divide are an error, are skipped, or get a last
            block that sticks out.
        head: take the network's head as well.

    Raises:
        PrunusError: nothing matches, a type is unknown, or a weight is not divided.
    """
    chosen = list(_chosen(tensors, match, types, head))
    sites = [_grid(tensors, weight, tiling, indivisible) for weight in chosen]
    if not any(sites):
        raise PrunusError(_nothing(tensors, tiling, match, types, bool(chosen)))
    return (site for site in sites if site is not None)


def _chosen(tensors: Tensors, match: str, types: Iterable[str] | None, head: bool) -> Iterator[str]:
    wanted = None if types is None else set(types)
    known = {kind.__name__ for kind in WEIGHTED}
    for kind in sorted((wanted or set()) - known):
        raise unknown("type of module", kind, known)
    for weight, kind in tensors.weighted.items():
        module = weight.removesuffix(".weight")
        if wanted is not None and kind not in wanted:
            continue
        if re.fullmatch(match, module) and (head or module not in tensors.head):
            yield weight


def _nothing(
    tensors: Tensors, tiling: Tiling, match: str, types: Iterable[str] | None, found: bool
) -> str:
    if found:
        return f"{tiling} divides none of the weights that {match!r} matches; choose other blocks"
    of = "" if types is None else f" of type {', '.join(types)}"
    here = ", ".join(name.removesuffix(".weight") for name in list(tensors.weighted)[:3])
    head = ", ".join(sorted(tensors.head))
    left_out = f"; the head ({head}) is left out, `head: true` takes it" if head else ""
    return f"no module{of} with a weight matrix matches {match!r}: there are {here} ...{left_out}"


def _grid(tensors: Tensors, weight: str, tiling: Tiling, indivisible: Indivisible) -> Site | None:
    shape, outputs = tensors.shapes[weight], tensors.outputs(weight)
    axes = (outputs, 1 - outputs, *([tuple(range(2, len(shape)))] if len(shape) > 2 else []))
    sizes = [shape[outputs], shape[1 - outputs]]
    tile = [tiling.rows or sizes[0], tiling.columns or sizes[1]]
    step = [tile[0], tiling.among[1] if tiling.among else tile[1]]
    over = [size % by for size, by in zip(sizes, step, strict=True)]
    if any(over) and indivisible != "pad":
        if indivisible == "skip":
            return None
        raise PrunusError(
            f"{weight} has {sizes[0]} outputs and {sizes[1]} inputs, which {tiling} does not"
            " divide; say `indivisible: skip` to leave such weights whole, or `pad`"
        )
    positions = [prod(shape[2:])] if len(shape) > 2 else []
    grid = (*(-(-size // by) for size, by in zip(sizes, tile, strict=True)), *positions)
    part = Slice(weight, axes, (*tile, *[1] * len(positions)))
    module = weight.removesuffix(".weight")
    return Site(f"{module}:grid", "grid", grid, (part,), module, among=tiling.among)
