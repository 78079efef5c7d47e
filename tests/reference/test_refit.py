"""Refitted single weights against the ridge regression of every output by itself."""

import copy

import pytest
import torch
from torch import nn

from prunus.anatomy import plain
from prunus.gram import Moments
from prunus.recover import Reader
from prunus.registry import build

RIDGE = 0.01


def inputs_of(width, tokens=200):
    """[token, width] correlated inputs of unlike sizes, about a mean that is not zero."""
    generator = torch.Generator().manual_seed(0)
    own, shared = (torch.randn(tokens, n, generator=generator).double() for n in (width, 3))
    mixed = own + shared @ torch.randn(3, width, generator=generator).double() + 0.5
    return mixed * torch.linspace(0.2, 2, width).double()


def slow(x, weight, stays, ridge, bias):
    """[outputs, inputs], row by row: (H_SS + r I) w'_S = (H w)_S + r w_S."""
    about = x - x.mean(0) if bias else x
    gram = about.T @ about
    shift = ridge * gram.diagonal().mean()
    rows = []
    for w, kept in zip(weight, stays, strict=True):
        own = torch.zeros_like(w)
        left = gram[kept][:, kept] + shift * torch.eye(int(kept.sum()), dtype=torch.float64)
        own[kept] = torch.linalg.solve(left, gram[kept] @ w + shift * w[kept])
        rows.append(own)
    return torch.stack(rows)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tiling", ["1x1", "2:4", "4x1", "2x2"])
def test_every_output_is_fitted_by_itself(tiling, bias):
    torch.manual_seed(1)
    x, layer = inputs_of(16), nn.Linear(16, 8, bias=bias).double()
    model = nn.Sequential(copy.deepcopy(layer))
    site = plain(model).grid("0", tiling, head=True)["0:grid"]
    stays = torch.rand(site.shape) < 0.5
    entries = stays.repeat_interleave(8 // stays.shape[0], 0)
    entries = entries.repeat_interleave(16 // stays.shape[1], 1)
    moments = Moments.zeros(16, 0, x.device)
    moments.add(x)
    build("recover", {"name": "refit", "ridge": RIDGE}).mend(
        Reader(model, site, stays, moments.flush())
    )
    wanted = slow(x, layer.weight.detach(), entries, RIDGE, bias)
    assert torch.allclose(model[0].weight, wanted, atol=1e-6)
    assert not torch.allclose(model[0].weight, layer.weight * entries, atol=1e-3)
    assert (model[0].weight[~entries] == 0).all()
    if bias:
        before, after = layer(x).mean(0), model(x).mean(0)
        assert torch.allclose(before, after, atol=1e-6)


def test_it_beats_sparsegpt_on_the_same_weights():
    """Sparsegpt mends from the left to the right, so that what went last finds nobody."""
    torch.manual_seed(1)
    x, layer = inputs_of(32), nn.Linear(32, 16, bias=False).double()
    errors = {}
    for name in ("sparsegpt", "refit"):
        model = nn.Sequential(copy.deepcopy(layer))
        site = plain(model).grid("0", "1x1", head=True)["0:grid"]
        stays = errors.get("stays", torch.rand(16, 32) < 0.5)
        moments = Moments.zeros(32, 0, x.device)
        moments.add(x)
        reader = Reader(model, site, stays, moments.flush())
        build("recover", {"name": name, "ridge": 1e-6}).mend(reader)
        errors["stays"] = reader.stays
        errors[name] = float((model(x) - layer(x)).detach().square().sum())
    assert errors["refit"] < errors["sparsegpt"]
