"""Least squares against an explicit ridge regression on all real tokens, in float64."""

import numpy as np
import pytest
import torch

from prunus import gram
from prunus.anatomy import anatomy
from prunus.drive import job_of
from prunus.gram import Moments, fit
from prunus.plan import Plan
from prunus.probe import March
from prunus.site import along
from tests.contract.draw import random_plan
from tests.tiny import FAMILIES, batch_of, far, outputs, tiny


def data_of(model, sizes=(4, 3), **how):
    return [
        {k: v.to(model.dtype) if v.is_floating_point() else v for k, v in batch.items()}
        for seed, size in enumerate(sizes)
        for batch in [batch_of(model, size, seed=seed, **how)]
    ]


def real(batch, site, x):
    """[sample, token] where a site that saw x sees real tokens."""
    if site.name.startswith("decoder."):
        return batch["labels"] != -100
    mask = batch.get("attention_mask")
    return torch.ones(x.shape[:2]).bool() if mask is None else mask.bool()


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
        kept = real(batch, site, here["x"]).flatten()
        seen = (here[key].flatten(0, -2)[kept] for key in ("x", "out", "stream"))
        rows.append([tensor.double().numpy() for tensor in seen])
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


EXACT = 1e-4
"""Of passes in float64, under the weakest ridge; some norms compute in float32 all the same."""


def job_for(teacher, batches, **settings):
    """A job that mends every reader by least squares."""
    return job_of(
        teacher, anatomy(teacher).of("heads", "neurons"), batches,
        score="magnitude", budget={"density": 0.5}, recover=[{"name": "least_squares", **settings}],
    )  # fmt: skip


@pytest.mark.parametrize(("family", "config"), CASES)
@pytest.mark.parametrize("strength", [0.03, 1e-4])
def test_every_reader_is_fitted(family, config, strength):
    teacher = tiny(family, **config).double()
    batches = data_of(teacher, (9, 7))
    job = job_for(teacher, batches, ridge=strength)
    plan = random_plan(job.sites, 3, share=0.5)
    with job.march() as march:
        for site in job.readers():
            reader = job.student.get_submodule(site.reader)
            inputs = site.inlet.axis
            stays = along(site.inlet, plan[site.name], reader.weight.shape[inputs])
            before = reader.weight.detach().clone().movedim(inputs, 0).numpy()
            x, _, below = seen_at(job.student, site, batches)
            _, out, above = seen_at(teacher, site, batches)
            assert job.mend(march, site, plan) == plan
            has_bias = reader.bias is not None
            expected, bias = ridge(
                x[:, stays], above + out - below, before[stays], strength,
                centred=has_bias,
            )  # fmt: skip
            fitted = reader.weight.detach().movedim(inputs, 0).numpy()
            assert apart(fitted, expected) < EXACT
            if has_bias:
                assert apart(reader.bias.detach().numpy(), bias) < EXACT


def test_an_emptied_sublayer_gives_the_mean():
    teacher = tiny("bert")
    batches = data_of(teacher)
    job = job_for(teacher, batches)
    plan = Plan.dense(job.sites) | {"encoder.layer.0:neurons": torch.zeros(24, dtype=torch.bool)}
    with job.march() as march:
        for site in job.readers()[:2]:
            _, _, below = seen_at(job.student, site, batches)
            job.mend(march, site, plan)
    _, out, above = seen_at(teacher, site, batches)
    bias = job.student.get_submodule(site.reader).bias.detach().numpy()
    np.testing.assert_allclose(bias, (above + out - below).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_where_nothing_is_removed_the_weights_stay(family):
    teacher = tiny(family).double()
    job = job_for(teacher, data_of(teacher))
    plan = Plan.dense(job.sites)
    with job.march() as march:
        for site in job.readers():
            job.mend(march, site, plan)
    before = teacher.state_dict()
    for name, tensor in job.student.state_dict().items():
        if not torch.equal(tensor, before[name]):  # each fit sees the rounding of those below
            assert far(tensor, before[name]) < EXACT


@pytest.mark.parametrize("family", FAMILIES)
def test_moments_are_sums_over_real_tokens(family, monkeypatch):
    teacher, student = tiny(family), tiny(family, seed=1)
    sites, batches = anatomy(teacher).of("heads", "neurons"), data_of(teacher)
    monkeypatch.setattr(gram, "CHUNK", 4)
    monkeypatch.setattr(gram, "PANEL", 5)
    with March(student, teacher, batches, sites.values()) as march:
        for site in sites.values():
            seen = march.reader(site)
            march.advance(torch.ones(len(seen.gram)).bool())
            x, _, below = seen_at(student, site, batches)
            _, out, above = seen_at(teacher, site, batches)
            y = above + out - below
            assert seen.tokens == len(x)
            for found, expected in (
                (seen.gram, x.T @ x), (seen.cross, x.T @ y), (seen.x, x.sum(0)), (seen.y, y.sum(0))
            ):  # fmt: skip
                np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_weighted_moments_are_weighted_sums():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(9, width, generator=generator) for width in (6, 2))
    weight = torch.rand(9, generator=generator) + 0.1
    seen = Moments.zeros(6, 2, x.device)
    seen.add(x[:4], y[:4], weight[:4])
    seen.add(x[4:], y[4:], weight[4:])
    seen.flush()
    scaled = (weight[:, None] * x).double()
    for found, expected in (
        (seen.gram, scaled.T @ x.double()), (seen.cross, scaled.T @ y.double()),
        (seen.x, scaled.sum(0)), (seen.y, (weight[:, None] * y).double().sum(0)),
    ):  # fmt: skip
        assert far(found, expected) < 1e-6
    assert abs(seen.tokens - float(weight.sum())) < 1e-5
    about = seen.centred()
    middle = x.double() - seen.x / seen.tokens
    assert far(about.gram, (weight[:, None] * middle).T @ middle) < 1e-6


def test_fewer_tokens_than_inputs_and_dead_inputs_are_no_trouble():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(3, width, generator=generator) for width in (20, 5))
    x[:, 4:9] = 0
    weight = torch.randn(20, 5, generator=generator).double()
    seen = Moments.zeros(20, 5, x.device)
    seen.add(x, y)
    seen.flush()
    stays = torch.rand(20, generator=generator) < 0.8
    for centred in (True, False):
        fitted, bias = fit(seen.of(stays), weight[stays], 0.03, centred=centred)
        expected, constant = ridge(
            x[:, stays].double().numpy(), y.double().numpy(), weight[stays].numpy(), 0.03,
            centred=centred,
        )  # fmt: skip
        assert apart(fitted.numpy(), expected) < 1e-5
        assert np.allclose(bias.numpy(), constant, rtol=1e-4, atol=1e-6)


def test_inputs_that_never_vary_are_no_trouble():
    seen = Moments.zeros(4, 2, torch.device("cpu"))
    seen.add(torch.zeros(7, 4), torch.ones(7, 2))
    seen.flush()
    weight = torch.ones(4, 2).double()
    fitted, bias = fit(seen, weight, 0.03, centred=True)
    assert torch.equal(fitted, weight)
    assert torch.equal(bias, torch.ones(2).double())
