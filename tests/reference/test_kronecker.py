"""Adapters of blocks against sums of Kronecker products, written down slowly."""

import copy

import pytest
import torch
from peft import LoKrConfig, get_peft_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from prunus.adapt import attach, freeze

BLOCKS = {
    "splopa": {"prototypes": 5, "rank": 2, "block": "4x2"},
    "full": {"name": "splopa", "prototypes": 5, "rank": "full", "block": [2, 3]},
    "rows": {"name": "splopa", "prototypes": 2, "block": "1xchannel", "shared": False},
    "phm": {"n": 6},
    "lokr": {"rank": 3},
    "factor": {"name": "lokr", "rank": "full", "factor": 3},
}


def kronecker(positions, blocks):
    """W[a p + b, c q + d] = sum_i A_i[a, c] P_i[b, d], one entry after the other."""
    (n, rows, columns), (_, p, q) = positions.shape, blocks.shape
    whole = torch.zeros(rows * p, columns * q, dtype=positions.dtype)
    for i in range(n):
        for a in range(rows):
            for c in range(columns):
                for b in range(p):
                    for d in range(q):
                        whole[a * p + b, c * q + d] += positions[i, a, c] * blocks[i, b, d]
    return whole


def layer_of(**spec):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(18, 12)).double()
    attach(model, {"head": True, "init_range": 0.5, **spec})
    own = model[0].adapter
    return model, own, own.positions.detach().unflatten(1, own.grid), own.blocks().detach()


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_delta_is_a_sum_of_kronecker_products(kind):
    _, own, positions, blocks = layer_of(**{"name": kind, **BLOCKS[kind]})
    delta = own.matrix().detach()
    slow = kronecker(positions, blocks)
    torch.testing.assert_close(delta, slow, rtol=1e-12, atol=1e-12)
    products = sum(torch.kron(a, p) for a, p in zip(positions, blocks, strict=True))
    torch.testing.assert_close(delta, products, rtol=1e-12, atol=1e-12)
    assert delta.abs().min() > 1e-7


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_that_are_gone_add_nothing(kind):
    _, own, positions, blocks = layer_of(**{"name": kind, **BLOCKS[kind]})
    stays = torch.rand(own.grid) < 0.5
    own.keep(stays)
    assert own.positions.shape == (len(blocks), stays.sum())
    slow = kronecker(positions * stays, blocks)
    torch.testing.assert_close(own.matrix().detach(), slow, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(own.stays, stays)
    again = torch.rand(own.grid) < 0.5
    own.keep(again)
    assert torch.equal(own.stays, stays & again)
    slow = kronecker(positions * (stays & again), blocks)
    torch.testing.assert_close(own.matrix().detach(), slow, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("factor", "rank", "parts"),
    [
        (None, 2, {"cols": "lokr_w2_a", "rows": "lokr_w2_b"}),
        (2, 2, {"cols": "lokr_w2_a", "rows": "lokr_w2_b"}),
        (6, "full", {"full": "lokr_w2"}),
    ],
)
def test_lokr_is_that_of_peft(factor, rank, parts):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(18, 12))
    config = LoKrConfig(r=2, alpha=2, target_modules=["0"], decompose_factor=factor or -1)
    theirs = get_peft_model(copy.deepcopy(plain), config)
    attach(plain, {"name": "lokr", "rank": rank, "head": True, "factor": factor})
    own, other = plain[0].adapter, theirs.base_model.model[0]
    for factors in other.parameters():
        nn.init.normal_(factors)
    with torch.no_grad():
        plain[0].weight.copy_(other.base_layer.weight)
        plain[0].bias.copy_(other.base_layer.bias)
        own.positions.copy_(other.lokr_w1["default"].reshape(1, -1))
        for name, of in parts.items():
            own.prototypes.get_parameter(name).copy_(getattr(other, of)["default"][None])
    x = torch.randn(5, 18)
    torch.testing.assert_close(plain(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert sum(p.numel() for p in own.parameters()) == sum(
        p.numel() for name, p in theirs.named_parameters() if "lokr" in name
    )


class Largest(TorchDispatchMode):
    """The most entries that any operation gave."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for own in out if isinstance(out, tuple | list) else (out,):
            if isinstance(own, torch.Tensor):
                self.entries = max(self.entries, own.numel())
        return out


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_nothing_on_the_way_is_larger_than_the_weight(share):
    model = nn.Sequential(nn.Linear(96, 192))
    attach(model, {"name": "splopa", "prototypes": 64, "block": "16x16", "head": True})
    freeze(model)
    model[0].adapter.keep(torch.rand(model[0].adapter.grid) < share)
    x = torch.randn(4, 96, requires_grad=True)
    with Largest() as seen:
        model(x).square().sum().backward()
    assert seen.entries == model[0].weight.numel()
