"""Where units live inside one tensor, and how values go from units to entries and back."""

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from prunus.errors import PrunusError

Axis = int | tuple[int, ...]


@dataclass(frozen=True)
class Slice:
    """Where a site's units live inside one tensor.

    Attributes:
        tensor: name of the parameter or buffer in the model.
        axes: one entry per dimension of the site's grid: an axis of the tensor, or a run of
            neighbouring axes that is read as one (``(1, 2, 3)``: a convolution as a matrix).
        tile: how many entries of each axis make one unit.
        start: where the units begin on the (first) axis; above 0 in fused projections.
    """

    tensor: str
    axes: tuple[Axis, ...]
    tile: tuple[int, ...]
    start: int = 0

    @property
    def axis(self) -> int:
        """The one axis of a slice whose units can be removed.

        Raises:
            PrunusError: the units lie on a grid, or on axes that are read as one.
        """
        axis = self.axes[0]
        if len(self.axes) > 1 or isinstance(axis, tuple):
            raise PrunusError(f"{self.tensor}: units on axes {self.axes} can only be masked")
        return axis

    def per_unit(self, shape: tuple[int, ...]) -> int:
        """Entries of one unit in a tensor of a shape; a last tile that sticks out counts whole."""
        runs = (axis if isinstance(axis, tuple) else (axis,) for axis in self.axes)
        on = {axis for run in runs for axis in run}
        return prod(self.tile) * prod(size for axis, size in enumerate(shape) if axis not in on)


def expand(part: Slice, values: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Spread unit values over a tensor: each entry gets its unit's value, others get 0.

    Args:
        part: where the units live in the tensor.
        values: [*grid], differentiable.
        shape: the tensor's shape.

    Returns:
        A tensor of ``shape``: ``out[i] = values[unit of i]``.

    >>> heads = Slice("query.weight", axes=(0,), tile=(2,))
    >>> expand(heads, torch.tensor([1.0, 0.0]), (4, 3))
    tensor([[1., 1., 1.],
            [1., 1., 1.],
            [0., 0., 0.],
            [0., 0., 0.]])
    """
    merged, places = _merge(part, tuple(shape))
    for dim, (place, tile) in enumerate(zip(places, part.tile, strict=True)):
        start = part.start if dim == 0 else 0
        values = values.repeat_interleave(tile, dim=dim)
        rest = merged[place] - start - values.shape[dim]
        if rest < 0:  # the last tile sticks out
            values = values.narrow(dim, 0, merged[place] - start)
        elif start or rest:
            edges = [values.new_zeros(_resized(values, dim, size)) for size in (start, rest)]
            values = torch.cat([edges[0], values, edges[1]], dim=dim)
    view = [1] * len(merged)
    for dim, place in enumerate(places):
        view[place] = values.shape[dim]
    in_order = sorted(range(len(places)), key=places.__getitem__)
    return values.permute(in_order).reshape(view).expand(merged).reshape(shape)


def reduce(
    part: Slice, tensor: Tensor, grid: tuple[int, ...], by: Literal["sum", "max"] = "sum"
) -> Tensor:
    """Sum a tensor over each unit: the adjoint of :func:`expand`.

    Args:
        part: where the units live in the tensor.
        tensor: any tensor of the slice's shape.
        grid: the site's shape.
        by: the sum, or the greatest entry (of what is not negative).

    Returns:
        [*grid]: the sum of the entries of every unit.

    >>> heads = Slice("query.weight", axes=(0,), tile=(2,))
    >>> reduce(heads, torch.ones(4, 3), (2,))
    tensor([6., 6.])
    """
    merged, places = _merge(part, tuple(tensor.shape))
    tensor = tensor.reshape(merged)
    for dim, (place, tile) in enumerate(zip(places, part.tile, strict=True)):
        start = part.start if dim == 0 else 0
        lacking = start + grid[dim] * tile - tensor.shape[place]
        if lacking > 0:  # the last tile sticks out
            tensor = torch.cat([tensor, tensor.new_zeros(_resized(tensor, place, lacking))], place)
        tensor = tensor.narrow(place, start, grid[dim] * tile)
    view: list[int] = []
    kept: list[int] = []
    for place, size in enumerate(tensor.shape):
        if place in places:
            kept.append(len(view))
            view += [grid[places.index(place)], part.tile[places.index(place)]]
        else:
            view.append(size)
    others = [dim for dim in range(len(view)) if dim not in kept]
    single = all(view[dim] == 1 for dim in others)  # summing copies, even where there is but one
    sums = tensor.reshape([view[dim] for dim in kept] if single else view)
    if others and not single:
        sums = sums.sum(others) if by == "sum" else sums.amax(others)
    return sums.permute([sorted(places).index(place) for place in places])


def factor(part: Slice, values: Tensor, shape: tuple[int, ...]) -> tuple[list[int], Tensor]:
    """Unit values as what a tensor is multiplied by: entries outside of the slice stay.

    Args:
        part: where the units live in the tensor.
        values: [*grid] of the tensor's type.
        shape: the tensor's shape.

    Returns:
        (a shape to view the tensor in, values that broadcast over it).
    """
    merged, places = _merge(part, shape)
    sizes = [n * tile for n, tile in zip(values.shape, part.tile, strict=True)]
    if sizes != [merged[place] for place in places]:
        return list(shape), 1 - expand(part, 1 - values, shape)
    tiles = dict(zip(places, zip(values.shape, part.tile, strict=True), strict=True))
    view, ones = list[int](), list[int]()
    for place, size in enumerate(merged):
        view += tiles.get(place, [size])
        ones += [tiles[place][0], 1] if place in tiles else [1]
    order = sorted(range(len(places)), key=places.__getitem__)
    return view, values.permute(order).reshape(ones)


def along(part: Slice, values: Tensor, length: int) -> Tensor:
    """[*sample, length] the values of an axis's entries; 1 (or True) outside of the slice.

    Args:
        part: a slice with one axis.
        values: [units] or [sample, units], such as which units stay.
        length: entries of the axis.
    """
    wide = values.repeat_interleave(part.tile[0], dim=-1)
    rest = length - part.start - wide.shape[-1]
    edges = [values.new_ones(*values.shape[:-1], count) for count in (part.start, rest)]
    return torch.cat([edges[0], wide, edges[1]], dim=-1)


def _merge(part: Slice, shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """The shape with each run of axes read as one, and the place of each grid dimension in it."""
    runs = [axis if isinstance(axis, tuple) else (axis,) for axis in part.axes]
    merged: list[int] = []
    places = [0] * len(runs)
    axis = 0
    while axis < len(shape):
        run = next((run for run in runs if run[0] == axis), (axis,))
        if run in runs:
            places[runs.index(run)] = len(merged)
        merged.append(prod(shape[step] for step in run))
        axis += len(run)
    return merged, places


def _resized(values: Tensor, dim: int, size: int) -> list[int]:
    return [*values.shape[:dim], size, *values.shape[dim + 1 :]]
