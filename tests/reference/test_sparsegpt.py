"""SparseGPT against the inverse taken anew for every weight, and against slower passes."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

import prunus
from prunus.anatomy import anatomy, plain
from prunus.drive import finish, job_of
from prunus.errors import PrunusError
from prunus.gram import Moments
from prunus.recover import Reader
from prunus.registry import build
from tests.tiny import batch_of, tiny

RIDGE = 0.01


def inputs_of(width, tokens=200, seed=0):
    """[token, width] correlated inputs of unlike sizes: each has something of what all share."""
    generator = torch.Generator().manual_seed(seed)
    own, shared = (torch.randn(tokens, n, generator=generator).double() for n in (width, 4))
    loadings = torch.randn(4, width, generator=generator).double()
    return (own + shared @ loadings) * torch.linspace(0.2, 2, width).double()


def layer_of(outputs, inputs, seed=1):
    layer = nn.Linear(inputs, outputs).double()
    generator = torch.Generator().manual_seed(seed)
    layer.weight.data = torch.randn(outputs, inputs, generator=generator).double()
    return layer


def mended(layer, x, tiling, planned=None, density=0.5, **settings):
    """(mask, weight [outputs, inputs]) that the repair leaves of a layer."""
    layer = copy.deepcopy(layer)
    model = nn.Sequential(layer)
    site = plain(model).grid("0", tiling, indivisible="pad", head=True)["0:grid"]
    if planned is None:
        planned = torch.zeros(site.shape, dtype=torch.bool)
        planned.view(-1)[: int(density * site.units)] = True
    moments = Moments.zeros(x.shape[1], 0, x.device)
    moments.add(x)
    reader = Reader(model, site, planned, moments.flush())
    build("recover", {"name": "sparsegpt", "ridge": RIDGE, **settings}).mend(reader)
    assert reader.stays.sum() == planned.sum()
    return reader.stays, layer.weight.detach().T if isinstance(layer, Conv1D) else layer.weight


def written_out(weight, x, count, run=None):
    """(mask, weight): optimal brain surgeon from left to right, the inverse anew for each input."""
    weight, x = weight.detach().numpy().copy(), x.numpy()
    outputs, inputs = weight.shape
    gram = x.T @ x
    gram += RIDGE * np.diag(gram).mean() * np.eye(inputs)
    own = [np.linalg.inv(gram[i:, i:]) for i in range(inputs)]
    stays = np.ones((outputs, inputs), dtype=bool)
    for i in range(inputs):
        if i % (run or inputs) == 0:
            part = range(i, min(i + (run or inputs), inputs))
            loss = {(o, j): weight[o, j] ** 2 / own[j][0, 0] for o in range(outputs) for j in part}
            groups = [[(o, j) for j in part] for o in range(outputs)] if run else [list(loss)]
            for group in groups:
                for place in sorted(group, key=loss.get)[: len(group) - count]:
                    stays[place] = False
        for o in range(outputs):
            if not stays[o, i]:
                weight[o, i:] -= weight[o, i] / own[i][0, 0] * own[i][0]
                weight[o, i] = 0
    return torch.from_numpy(stays), torch.from_numpy(weight)


@pytest.mark.parametrize("density", [0.3, 0.5, 0.9])
def test_single_weights_go_as_written_out(density):
    layer, x = layer_of(6, 10), inputs_of(10)
    stays, weight = mended(layer, x, "1x1", density=density)
    expected, values = written_out(layer.weight, x, int(density * 60))
    assert torch.equal(stays, expected)
    torch.testing.assert_close(weight, values, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8)])
@pytest.mark.parametrize("columns", [8, 128])
def test_runs_go_as_written_out(n, m, columns):
    layer, x = layer_of(5, 24), inputs_of(24)
    planned = (torch.arange(24) % m < n).repeat(5, 1)
    stays, weight = mended(layer, x, f"{n}:{m}", planned, columns=columns)
    expected, values = written_out(layer.weight, x, n, run=m)
    assert torch.equal(stays, expected)
    torch.testing.assert_close(weight, values, rtol=1e-4, atol=1e-9)


def test_runs_that_the_plan_leaves_whole_stay_whole():
    layer, x = layer_of(5, 24), inputs_of(24)
    planned = (torch.arange(24) % 4 < 2).repeat(5, 1)
    planned[1:3, 8:12] = True
    stays, _ = mended(layer, x, "2:4", planned)
    runs = lambda mask: mask.unflatten(1, (-1, 4)).sum(-1)  # noqa: E731
    assert torch.equal(runs(stays), runs(planned))


@pytest.mark.parametrize("columns", [1, 5, 7, 128])
def test_each_block_of_columns_keeps_its_part(columns):
    layer, x = layer_of(7, 20), inputs_of(20)
    stays, weight = mended(layer, x, "1x1", density=0.55, columns=columns)
    assert torch.equal(weight != 0, stays)
    for start in range(0, 20, columns):
        part = stays[:, start : start + columns]
        assert abs(int(part.sum()) - 0.55 * part.numel()) <= 1


@pytest.mark.parametrize("tiling", ["1x1", "2:4", "4x1", "2x3", "1xchannel", "channelx1"])
def test_a_transposed_layer_is_the_same(tiling):
    layer, x = layer_of(8, 12), inputs_of(12)
    other = Conv1D(8, 12).double()
    other.weight.data = layer.weight.data.T.contiguous()
    (one, weight), (two, same) = (mended(own, x, tiling) for own in (layer, other))
    assert torch.equal(one, two)
    torch.testing.assert_close(weight, same)


@pytest.mark.parametrize("tiling", ["4x1", "3x5", "2x3"])
def test_blocks_go_as_a_whole(tiling):
    layer, x = layer_of(7, 13), inputs_of(13)  # the last blocks stick out
    stays, weight = mended(layer, x, tiling, columns=4)
    high, wide = map(int, tiling.split("x"))
    spread = stays.repeat_interleave(high, 0).repeat_interleave(wide, 1)[:7, :13]
    assert torch.equal(weight != 0, spread)


def error(layer, weight, x):
    return float((x @ (weight - layer.weight).T).square().sum())


@pytest.mark.parametrize("tiling", ["1x1", "2:4"])
@pytest.mark.parametrize("seed", range(3))
def test_outputs_change_less_than_without_mending(tiling, seed):
    layer, x = layer_of(16, 32, seed).requires_grad_(False), inputs_of(32, seed=seed)
    scores = {
        "magnitude": layer.weight.abs(),
        "wanda": layer.weight.abs() * x.square().sum(0).sqrt(),
    }
    errors = {}
    for name, own in scores.items():
        groups = own.unflatten(1, (-1, 4)) if tiling == "2:4" else own
        best = groups.argsort(-1, descending=True).argsort(-1) < groups.shape[-1] // 2
        stays = best.reshape(own.shape)
        errors[name] = error(layer, layer.weight * stays, x)
        _, weight = mended(layer, x, tiling, stays)
        errors["sparsegpt"] = error(layer, weight, x)
        assert int((weight != 0).sum()) == 16 * 32 // 2
    assert errors["sparsegpt"] < 0.7 * min(errors["wanda"], errors["magnitude"])


def test_what_stays_whole_is_left_alone():
    layer, x = layer_of(6, 10), inputs_of(10)
    stays, weight = mended(layer, x, "1x1", density=1.0)
    assert stays.all()
    assert torch.equal(weight, layer.weight)


def test_inputs_that_never_vary_do_no_harm():
    layer, x = layer_of(6, 10), inputs_of(10)
    x[:, 3] = 0
    stays, weight = mended(layer, x, "1x1")
    assert torch.isfinite(weight).all()
    assert not stays[:, 3].any()


def jobs(model, batches, recover=("sparsegpt",), grid=None, **settings):
    sites = anatomy(model).chosen(grid or {"grid": "1x1"})
    budget = {"density": 0.5, "metric": "weights", "scope": "local"}
    return job_of(
        model, sites, batches, score="magnitude", budget=budget, recover=recover, **settings
    )


@pytest.mark.parametrize("family", ["bert", "gpt2", "opt", "t5", "llama"])
def test_every_layer_sees_what_the_pruned_ones_below_leave(family):
    model = tiny(family)
    batches = [batch_of(model, 3, seed=seed) for seed in range(3)]
    job = jobs(model, batches)
    plan = build("drive", "oneshot").run(job)
    assert {int(mask.sum()) * 2 for mask in plan.values()} == {
        site.units for site in job.sites.values()
    }
    slow, scored = copy.deepcopy(model), jobs(model, batches, ())
    planned = build("drive", "oneshot").run(scored)
    for site in job.readers():
        seen = looked(slow, site, batches)
        reader = Reader(slow, site, planned[site.name], seen)
        build("recover", "sparsegpt").mend(reader)
        assert torch.equal(reader.stays.cpu(), plan[site.name]), site.name
        own = slow.get_parameter(f"{site.reader}.weight")
        torch.testing.assert_close(
            job.student.get_parameter(f"{site.reader}.weight"), own, rtol=1e-3, atol=1e-4
        )


def looked(model, site, batches):
    """Moments of a reader's first input in one whole pass a batch."""
    found = Moments.zeros(model.get_parameter(site.inlet.tensor).shape[site.input_axis], 0, "cpu")
    module = model.get_submodule(site.reader)
    for batch in batches:
        inputs = []
        handle = module.register_forward_pre_hook(lambda _, args, to=inputs: to.append(args[0]))
        with torch.no_grad():
            model.eval()(**batch)
        handle.remove()
        x, real = inputs[0], batch["attention_mask"].bool()
        if site.name.startswith("decoder.") and "labels" in batch and batch["labels"].dim() == 2:
            real = batch["labels"] != -100
        if real.numel() != x.shape[:-1].numel():
            real = batch["attention_mask"].bool()
        pooled = real.numel() != x.shape[:-1].numel()
        found.add(x if pooled else x.reshape(-1, x.shape[-1])[real.flatten()])
    return found.flush()


@pytest.mark.parametrize("drive", ["oneshot", "sweep"])
def test_what_is_handed_back_has_exactly_the_weights_of_its_plan(drive):
    model = tiny("bert")
    batches = [batch_of(model, 4, seed=seed) for seed in range(2)]
    job = jobs(model, batches, grid={"grid": "2:4", "match": ".*(query|key|output.dense)"})
    plan = build("drive", drive).run(job)
    small = finish(job, plan)
    for name, stays in plan.items():
        weight = small.get_parameter(name.replace(":grid", ".weight"))
        assert not weight[~stays].any()
        assert weight[stays].all()
        assert (stays.unflatten(1, (-1, 4)).sum(-1) == 2).all()


def test_what_it_cannot_mend_is_told():
    model = tiny("bert")
    batches = [batch_of(model)]
    call = {"select": "greedy", "score": "random", "density": 0.5}
    for sites, recover, why in (
        (["heads"], ["sparsegpt"], r"kind 'heads': recover: sparsegpt mends linear layers"),
        ([{"grid": "1x1"}], ["least_squares"], r"recover: least_squares mends the readers"),
        (["heads", {"grid": "1x1", "match": ".*key"}], ["sparsegpt"], r"name grids alone"),
    ):
        with pytest.raises(PrunusError, match=why):
            prunus.prune(model, batches, sites=sites, recover=recover, **call)
    model.bert.add_module("spare", nn.Linear(4, 4))
    with pytest.raises(PrunusError, match=r"no forward pass reaches bert\.spare"):
        jobs(model, batches, grid={"grid": "1x1", "match": ".*(spare|key)"})


def test_a_convolution_is_refused():
    model = tiny("vit")
    with pytest.raises(PrunusError, match="has no single reader"):
        jobs(model, [batch_of(model)], grid={"grid": "1x1", "types": "Conv2d"})
