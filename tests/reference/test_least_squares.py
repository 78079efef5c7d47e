"""Least squares against an explicit ridge regression on all real tokens, in float64."""

import copy

import numpy as np
import pytest
import torch

from prunus.anatomy import anatomy
from prunus.edit import mask
from prunus.plan import Plan
from prunus.probe import _moments, moments
from prunus.recover.least_squares import LeastSquares, solve
from prunus.site import along
from tests.contract.draw import random_plan
from tests.tiny import FAMILIES, batch_of, far, outputs, tiny


def data_of(model, sizes=(4, 3), **how):
    return [batch_of(model, size, seed=seed, **how) for seed, size in enumerate(sizes)]


def real(batch, site):
    """[sample, token] where a site sees real tokens."""
    if site.name.startswith("decoder."):
        return batch["labels"] != -100
    mask = batch.get("attention_mask")
    return torch.ones(len(batch["labels"]), 5).bool() if mask is None else mask.bool()


def seen_at(model, site, batches):
    """(input, output, stream) at a reader: real tokens stacked, [tokens, width], float64."""
    rows = []
    for batch in batches:
        here = {}
        reader, residual = (model.get_submodule(path) for path in (site.reader, site.residual))
        handles = [
            reader.register_forward_hook(
                lambda _, args, out, here=here: here.update(x=args[0], out=out)
            ),
            residual.register_forward_pre_hook(
                lambda _, args, here=here: here.update(stream=args[0])
            ),
        ]
        outputs(model, batch)
        for handle in handles:
            handle.remove()
        kept = real(batch, site)
        rows.append([here[key][kept].double().numpy() for key in ("x", "out", "stream")])
    return [np.concatenate(parts) for parts in zip(*rows, strict=True)]


def ridge(x, y, weight, strength, *, centred):
    """argmin |x w + b - y|^2 / n + r |w - weight|^2 with r = strength x mean variance of x."""
    n, width = x.shape
    middle = (x.mean(0), y.mean(0)) if centred else (0 * x[0], 0 * y[0])
    x, y = x - middle[0], y - middle[1]
    r = strength * (x**2).sum() / n / max(width, 1)
    above = np.concatenate([x / np.sqrt(n), np.sqrt(r) * np.eye(width)])
    below = np.concatenate([y / np.sqrt(n), np.sqrt(r) * weight])
    fitted = np.linalg.lstsq(above, below, rcond=None)[0]
    return fitted, middle[1] - middle[0] @ fitted


def apart(one, other):
    """The relative distance of two arrays."""
    return np.linalg.norm(one - other) / np.linalg.norm(other)


CASES = [
    *((family, {}) for family in FAMILIES),
    ("llama", {"attention_bias": True, "mlp_bias": True}),
    ("t5", {"feed_forward_proj": "gated-gelu"}),
]


@pytest.mark.parametrize(("family", "config"), CASES)
@pytest.mark.parametrize("strength", [0.03, 1e-4])
def test_every_reader_is_fitted(family, config, strength):
    teacher = tiny(family, **config)
    sites = anatomy(teacher).of("heads", "neurons")
    batches = data_of(teacher, (9, 7))
    plan = random_plan(sites, 3, share=0.5)
    student = copy.deepcopy(teacher)
    for site in sites.values():
        reader = student.get_submodule(site.reader)
        stays = along(site.inlet, plan[site.name], reader.in_features)
        before = reader.weight.detach().clone()
        with mask(student, sites, plan):
            x, _, below = seen_at(student, site, batches)
            _, out, above = seen_at(teacher, site, batches)
            LeastSquares(ridge=strength).repair(student, teacher, site, stays, batches)
        has_bias = reader.bias is not None
        expected, bias = ridge(
            x[:, stays], above + out - below, before.T[stays].double().numpy(), strength,
            centred=has_bias,
        )  # fmt: skip
        fitted = reader.weight.detach().T.double().numpy()
        assert apart(fitted[stays], expected) < 1e-3
        assert np.array_equal(fitted[~stays], before.T.double().numpy()[~stays])
        if has_bias:
            assert apart(reader.bias.detach().numpy(), bias) < 1e-3


def test_an_emptied_sublayer_gives_the_mean():
    teacher = tiny("bert")
    sites, batches = anatomy(teacher).of("neurons"), data_of(teacher)
    site = next(iter(sites.values()))
    student = copy.deepcopy(teacher)
    stays = torch.zeros(24, dtype=torch.bool)
    with mask(student, sites, Plan({site.name: stays})):
        LeastSquares().repair(student, teacher, site, stays, batches)
    _, out, _ = seen_at(teacher, site, batches)
    bias = student.get_submodule(site.reader).bias.detach().numpy()
    np.testing.assert_allclose(bias, out.mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_where_nothing_is_removed_the_weights_stay(family):
    teacher = tiny(family)
    sites, batches = anatomy(teacher).of("heads", "neurons"), data_of(teacher)
    student = copy.deepcopy(teacher)
    for site in sites.values():
        width = student.get_submodule(site.reader).in_features
        LeastSquares().repair(student, teacher, site, torch.ones(width).bool(), batches)
    before = teacher.state_dict()
    for name, tensor in student.state_dict().items():
        assert far(tensor, before[name]) < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_moments_are_sums_over_real_tokens(family, monkeypatch):
    teacher = tiny(family)
    sites, batches = anatomy(teacher).of("heads", "neurons"), data_of(teacher)
    student = tiny(family, seed=1)
    monkeypatch.setattr(_moments, "CHUNK", 4)
    for site in sites.values():
        seen = moments(student, teacher, site, batches)
        x, _, below = seen_at(student, site, batches)
        _, out, above = seen_at(teacher, site, batches)
        y = above + out - below
        assert seen.tokens == len(x)
        for found, expected in (
            (seen.gram, x.T @ x), (seen.cross, x.T @ y), (seen.x, x.sum(0)), (seen.y, y.sum(0))
        ):  # fmt: skip
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_fewer_tokens_than_inputs_and_dead_inputs_are_no_trouble():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(3, width, generator=generator) for width in (20, 5))
    x[:, 4:9] = 0
    weight = torch.randn(20, 5, generator=generator).double()
    seen = _moments.Moments.zeros(20, 5, x.device)
    seen.add(x, y)
    stays = torch.rand(20, generator=generator) < 0.8
    for centred in (True, False):
        fitted, bias = solve(seen, weight, stays, 0.03, centred=centred)
        expected, constant = ridge(
            x[:, stays].double().numpy(), y.double().numpy(), weight[stays].numpy(), 0.03,
            centred=centred,
        )  # fmt: skip
        assert apart(fitted.numpy(), expected) < 1e-5
        assert np.allclose(bias.numpy(), constant, rtol=1e-4, atol=1e-6)


def test_inputs_that_never_vary_are_no_trouble():
    seen = _moments.Moments.zeros(4, 2, torch.device("cpu"))
    seen.add(torch.zeros(7, 4), torch.ones(7, 2))
    weight = torch.ones(4, 2).double()
    fitted, bias = solve(seen, weight, torch.ones(4).bool(), 0.03, centred=True)
    assert torch.equal(fitted, weight)
    assert torch.equal(bias, torch.ones(2).double())
