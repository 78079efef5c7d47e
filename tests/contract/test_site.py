"""Slices: reduce is the adjoint of expand, and both do what the definition says."""

from collections import defaultdict
from itertools import product
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunus.anatomy import anatomy
from prunus.errors import PrunusError
from prunus.site import Slice, along, expand, factor, reduce
from tests.tiny import DECODERS, FAMILIES, auto_heads, batch_of, outputs, tiny


@st.composite
def slices(draw):
    """(slice, shape of its tensor, grid): tensors of 1 to 4 axes, read singly or in runs."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    rank = len(shape)
    cuts = sorted(draw(st.sets(st.integers(1, rank - 1)))) if rank > 1 else []
    runs = [tuple(range(a, b)) for a, b in zip([0, *cuts], [*cuts, rank], strict=True)]
    dims = draw(st.integers(1, min(2, len(runs))))
    chosen = draw(st.permutations(runs))[:dims]
    grid, tile, start = [], [], 0
    for place, run in enumerate(chosen):
        length = prod(shape[axis] for axis in run)
        size = draw(st.integers(1, length))
        units = draw(st.integers(1, length // size))
        if place == 0:
            start = draw(st.integers(0, length - size * units))
        else:
            size, units = length // units, units
            if size * units != length:
                size, units = 1, length
        grid.append(units)
        tile.append(size)
    axes = tuple(run if len(run) > 1 else run[0] for run in chosen)
    return Slice("t", axes, tuple(tile), start), tuple(shape), tuple(grid)


@given(slices(), st.integers(0, 99))
@settings(max_examples=150)
def test_reduce_is_the_adjoint_of_expand(drawn, seed):
    part, shape, grid = drawn
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(grid, generator=generator, dtype=torch.float64)
    tensor = torch.randn(shape, generator=generator, dtype=torch.float64)
    wide = expand(part, values, shape)
    assert wide.shape == shape
    assert reduce(part, tensor, grid).shape == grid
    torch.testing.assert_close((wide * tensor).sum(), (values * reduce(part, tensor, grid)).sum())


@given(slices(), st.integers(0, 99))
@settings(max_examples=50)
def test_expand_gives_each_entry_its_unit(drawn, seed):
    part, shape, grid = drawn
    values = torch.rand(grid, generator=torch.Generator().manual_seed(seed)) + 1
    wide = expand(part, values, shape)
    for place in product(*(range(size) for size in shape)):
        assert wide[place] == unit_of(place, part, shape, values)


def unit_of(place, part, shape, values):
    """The value of the unit that an entry belongs to, 0 outside the slice, by the definition."""
    unit = []
    for dim, axis in enumerate(part.axes):
        run = axis if isinstance(axis, tuple) else (axis,)
        index = 0
        for step in run:
            index = index * shape[step] + place[step]
        unit.append((index - (part.start if dim == 0 else 0)) // part.tile[dim])
    inside = all(0 <= step < size for step, size in zip(unit, values.shape, strict=True))
    return values[tuple(unit)] if inside else 0


@st.composite
def sticking_out(draw):
    """A slice whose last tiles may stick out of the tensor; convolutions have a third dimension."""
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    tall, wide = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    axes, kernel = draw(st.sampled_from([((0, 1), ()), ((1, 0), ()), ((0, 1, (2, 3)), (2, 3))]))
    shape = (*[rows, columns][:: 1 if axes[0] == 0 else -1], *kernel)
    grid = (-(-rows // tall), -(-columns // wide), *([prod(kernel)] if kernel else []))
    return Slice("t", axes, (tall, wide, *[1] * bool(kernel))), shape, grid


@given(sticking_out(), st.integers(0, 99))
@settings(max_examples=100)
def test_tiles_that_stick_out(drawn, seed):
    part, shape, grid = drawn
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(grid, generator=generator) + 1
    tensor = torch.rand(shape, generator=generator)
    wide = expand(part, values, shape)
    sums, greatest = torch.zeros(grid), torch.zeros(grid)
    for place in product(*(range(size) for size in shape)):
        row, column = (place[axis] for axis in part.axes[:2])
        position = [place[2] * shape[3] + place[3]] if len(shape) > 2 else []
        unit = (row // part.tile[0], column // part.tile[1], *position)
        assert wide[place] == values[unit]
        sums[unit] += tensor[place]
        greatest[unit] = max(greatest[unit], tensor[place])
    torch.testing.assert_close(reduce(part, tensor, grid), sums)
    torch.testing.assert_close(reduce(part, tensor, grid, "max"), greatest)


@given(st.one_of(slices(), sticking_out()), st.integers(0, 99))
@settings(max_examples=150)
def test_a_factor_multiplies_as_expanded_values_do(drawn, seed):
    part, shape, grid = drawn
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(grid, generator=generator)
    tensor = torch.rand(shape, generator=generator)
    view, factors = factor(part, values, shape)
    inside = expand(part, torch.ones(grid), shape)
    expected = torch.where(inside > 0, tensor * expand(part, values, shape), tensor)
    torch.testing.assert_close((tensor.view(view) * factors).view(shape), expected)


@given(slices())
@settings(max_examples=30)
def test_expand_is_differentiable(drawn):
    part, shape, grid = drawn
    values = torch.rand(grid, dtype=torch.float64, requires_grad=True)
    tensor = torch.rand(shape, dtype=torch.float64)
    (expand(part, values, shape) * tensor).sum().backward()
    torch.testing.assert_close(values.grad, reduce(part, tensor, grid))


def test_what_lies_outside_a_slice_stays():
    fused = Slice("qkv.weight", (0,), (2,), start=4)
    stays = along(fused, torch.tensor([True, False]), 10)
    assert stays.tolist() == [True] * 6 + [False] * 2 + [True] * 2


@pytest.mark.parametrize("axes", [(0, 1), ((0, 1),)])
def test_a_slice_on_several_axes_has_no_axis_of_its_own(axes):
    with pytest.raises(PrunusError, match="can only be masked"):
        _ = Slice("conv.weight", axes, (1,) * len(axes)).axis


@pytest.mark.parametrize(
    ("family", "cls"), [(family, cls) for family in FAMILIES for cls in auto_heads(family)]
)
def test_every_slice_of_every_head_fits_its_tensor(family, cls):
    model = tiny(family, cls)
    sites = anatomy(model)
    assert sites
    for site in sites.values():
        spans = defaultdict(list)
        for part in site.slices:
            end = part.start + site.units * part.tile[0]
            spans[part.tensor, part.axis].append((part.start, end))
        for (tensor, axis), found in spans.items():  # one after another, from end to end
            starts, ends = zip(*sorted(found), strict=True)
            assert (*starts, sites.tensors.shapes[tensor][axis]) == (0, *ends)


@pytest.mark.parametrize(("family", "cls"), [(f, c) for f in FAMILIES for c in auto_heads(f)])
def test_what_makes_a_sites_units_reads_the_stream_and_it_alone(family, cls):
    model = tiny(family, cls, **({"add_cross_attention": True} if cls in DECODERS else {}))
    seen = defaultdict(list)
    sites = list(anatomy(model).of("heads", "neurons").values())
    for site in sites:
        for name in site.producers:
            model.get_submodule(name).register_forward_pre_hook(
                lambda _, args, name=name: seen[name].append(args[0])
            )
    outputs(model, batch_of(model))
    for site in sites:
        assert site.producers
        first, *others = (x for name in site.producers for x in seen[name])
        assert all(torch.equal(first, other) for other in others)
