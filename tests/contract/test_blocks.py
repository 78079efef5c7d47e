"""Weights as blocks: taken apart and joined, and found again by the zeros."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunus.edit.blocks import alive, block_of, joined, tiles

SHAPE = (128, 192)


def sparse(shape, block, density, seed=0):
    """A weight, of whose blocks so many stay."""
    draw = torch.Generator().manual_seed(seed)
    live = torch.rand(shape[0] // block[0], shape[1] // block[1], generator=draw) < density
    wide = live.repeat_interleave(block[0], 0).repeat_interleave(block[1], 1)
    return torch.randn(shape, generator=draw) * wide, live


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.data())
def test_a_weight_is_joined_as_it_was(p, q, rows, columns, data):
    kernel = data.draw(st.sampled_from([(), (3,), (2, 3)]))
    weight = torch.randn(p * rows, q * columns, *kernel)
    cut = tiles(weight, (p, q))
    assert cut.shape == (weight[0, 0].numel() * rows, columns, p, q)
    assert torch.equal(joined(cut, tuple(weight.shape)), weight)
    assert torch.equal(cut[0, 0], weight.reshape(p * rows, q * columns, -1)[:p, :q, 0])


@pytest.mark.parametrize("density", [0.0, 0.1, 0.3, 0.7])
@pytest.mark.parametrize(
    "block", [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4), (4, 1), (1, 4), (1, 192), (128, 1)]
)
def test_the_block_is_found(block, density):
    weight, live = sparse(SHAPE, block, density)
    assert block_of(weight) == (block if live.any() else (64, 64))
    assert torch.equal(alive(weight, block), live)


def test_single_zeros_lie_in_blocks_of_one():
    weight, _ = sparse(SHAPE, (1, 1), 0.5)
    assert block_of(weight) == (1, 1)


def test_a_half_of_every_four_is_single_zeros():
    weight = torch.randn(64, 64)
    weight.view(64, 16, 4)[..., :2] = 0
    assert block_of(weight[:, torch.randperm(64)]) == (64, 1)
    weight = torch.randn(64, 64)
    weight.view(-1, 4).scatter_(1, torch.rand(1024, 4).argsort(1)[:, :2], 0)
    assert block_of(weight) == (1, 1)


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_few_zeros_are_not_worth_it(zeros):
    weight = torch.randn(128, 192)
    weight[:zeros] = 0
    assert block_of(weight) is None
    weight[:9] = 0
    assert block_of(weight) == (1, 192)


def test_half_precision_pays_later():
    weight, _ = sparse((64, 64), (1, 1), 0.9)
    assert block_of(weight) == (1, 1)
    assert block_of(weight.bfloat16()) is None


def test_zeros_of_both_signs_are_zeros():
    weight, _ = sparse(SHAPE, (32, 32), 0.3)
    assert (weight.signbit() & (weight == 0)).any()
    assert block_of(weight) == (32, 32)
    assert block_of(torch.zeros(0, 8)) is None
