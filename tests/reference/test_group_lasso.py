"""The group lasso's proximal step: against loops over blocks, and the laws that it keeps."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunus.edit import group_lasso
from prunus.errors import PrunusError
from prunus.site import Slice, reduce

PLACES = [
    (Slice("rows", (0,), (1,)), (6,), (6, 4)),
    (Slice("columns", (1,), (1,)), (4,), (6, 4)),
    (Slice("4x1", (0, 1), (4, 1)), (2, 5), (8, 5)),
    (Slice("1x4", (0, 1), (1, 4)), (5, 2), (5, 8)),
    (Slice("1x1", (0, 1), (1, 1)), (3, 4), (3, 4)),
    (Slice("in Conv1D", (1, 0), (4, 1)), (2, 5), (5, 8)),
    (Slice("convolution", (0, (1, 2, 3)), (2, 3)), (2, 6), (4, 2, 3, 3)),
    (Slice("fused", (0,), (2,), start=4), (2,), (10, 3)),
]
EACH = pytest.mark.parametrize(
    ("part", "grid", "shape"), PLACES, ids=[one[0].tensor for one in PLACES]
)


def blocks(part, grid, shape):
    """For each block, the places of its weights."""
    axes = [axis if isinstance(axis, tuple) else (axis,) for axis in part.axes]
    found = {unit: [] for unit in product(*map(range, grid))}
    for place in product(*map(range, shape)):
        unit = []
        for dim, (run, tile) in enumerate(zip(axes, part.tile, strict=True)):
            index = 0
            for axis in run:
                index = index * shape[axis] + place[axis]
            unit.append((index - (part.start if dim == 0 else 0)) // tile)
        if tuple(unit) in found:
            found[tuple(unit)].append(place)
    return list(found.values())


def slowly(weight, part, grid, amount):
    """W_b * max(0, 1 - amount * sqrt(n) / |W_b|), block by block."""
    new = weight.double().clone()
    for places in blocks(part, grid, weight.shape):
        norm = math.sqrt(sum(float(weight[place]) ** 2 for place in places))
        limit = amount * math.sqrt(len(places))
        for place in places:
            new[place] *= max(0.0, 1 - limit / norm) if norm else 0.0
    return new


def penalty(weight, part, grid):
    places = blocks(part, grid, weight.shape)
    norms = (math.sqrt(sum(float(weight[p]) ** 2 for p in own)) for own in places)
    return sum(math.sqrt(len(own)) * norm for own, norm in zip(places, norms, strict=True))


@EACH
@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0, 100.0])
def test_it_is_the_step_written_out(part, grid, shape, amount):
    torch.manual_seed(0)
    weight = torch.randn(shape)
    new = group_lasso(weight, part, grid, amount)
    torch.testing.assert_close(
        new.double(), slowly(weight, part, grid, amount), rtol=1e-5, atol=1e-6
    )
    assert torch.equal(weight, torch.randn(shape, generator=torch.manual_seed(0)))


@EACH
def test_it_is_the_least_of_what_it_minimises(part, grid, shape):
    torch.manual_seed(1)
    weight, amount = torch.randn(shape, dtype=torch.double), 0.4

    def worth(new):
        return float((weight - new).square().sum()) / 2 + amount * penalty(new, part, grid)

    best = group_lasso(weight, part, grid, amount)
    assert best.dtype == torch.double
    assert not torch.equal(best, weight)
    for size in (1e-3, 1e-1, 1.0):
        assert worth(best) < worth(best + size * torch.randn_like(best))


@given(
    st.sampled_from(PLACES),
    st.floats(0, 1e30) | st.sampled_from([0.0, 1e-45, 1e-30, 1e30]),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 1e3, 1e25]),
    st.integers(0, 99),
)
def test_norms_only_shrink_and_are_never_undefined(place, amount, dtype, size, seed):
    part, grid, shape = place
    torch.manual_seed(seed)
    weight = (torch.randn(shape) * size).clamp(-6e4, 6e4) if dtype == torch.float16 else None
    weight = torch.randn(shape) * size if weight is None else weight
    weight = (weight * torch.bernoulli(torch.full(shape, 0.5))).to(dtype)
    new = group_lasso(weight, part, grid, amount)
    assert new.dtype == dtype
    assert new.isfinite().all()
    assert (new.abs() <= weight.abs()).all()
    assert not new[weight == 0].any()
    if amount == 0:
        assert torch.equal(new, weight)


def test_small_blocks_end_at_zero_and_stay_there():
    part, grid = PLACES[2][:2]
    weight = torch.ones(8, 5)
    weight[:4, :2], weight[4:, 3] = 0.1, 0.0
    for _ in range(2):
        weight = group_lasso(weight, part, grid, 0.2)
        norms = reduce(part, weight.square(), grid)
        assert torch.equal(norms == 0, torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 1, 0]]).bool())


def test_training_with_it_empties_whole_blocks():
    torch.manual_seed(0)
    x, part, grid = torch.randn(64, 8), Slice("w", (0, 1), (1, 4)), (3, 2)
    y = x[:, :4] @ torch.randn(4, 3)
    weight = torch.randn(3, 8, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (x @ weight.T - y).square().mean().backward()
        optimizer.step()
        with torch.no_grad():
            weight.copy_(group_lasso(weight, part, grid, 0.05 * 0.05))
    norms = reduce(part, weight.detach().square(), grid)
    assert (norms[:, 0] > 0.1).all()
    assert not norms[:, 1].any()


@pytest.mark.parametrize("amount", [-1e-9, math.nan, math.inf])
def test_another_amount_is_refused(amount):
    part, grid, shape = PLACES[0]
    with pytest.raises(PrunusError, match=r"rows: group lasso by .*0 or more"):
        group_lasso(torch.ones(shape), part, grid, amount)
