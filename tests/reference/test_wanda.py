"""Wanda against loops over its equation, and budgets within every output."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

import prunus
from prunus.anatomy import anatomy, plain
from prunus.errors import PrunusError
from prunus.probe import Evidence
from prunus.registry import build
from prunus.score import score
from prunus.select import Budget, Rule, select, weights
from tests.tiny import batch_of, tiny

HEADS = "encoder.layer.1:heads"


def norms(model, path, batches):
    """[inputs] the l2 norm of every input of a module over all real tokens."""
    total = 0.0

    def watch(_, args):
        nonlocal total
        for row, real in zip(args[0], batch["attention_mask"].bool(), strict=True):
            for token in row[real]:
                total = total + token.square()

    handle = model.get_submodule(path).register_forward_pre_hook(watch)
    for batch in batches:
        with torch.no_grad():
            model(**batch)
    handle.remove()
    return total.sqrt()


def batches_of(model):
    batches = [batch_of(model, size, seed=size) for size in (3, 2)]
    assert not all(batch["attention_mask"].all() for batch in batches)
    return batches


@pytest.mark.parametrize(
    ("family", "path"),
    [("bert", "bert.encoder.layer.1.output.dense"), ("gpt2", "transformer.h.1.mlp.c_fc")],
)
def test_a_weight_is_worth_its_size_times_the_norm_of_its_input(family, path):
    model = tiny(family)
    batches = batches_of(model)
    sites = anatomy(model).grid(path.replace(".", r"\."), "1x1")
    found = score(model, batches, sites, build("score", "wanda"))[f"{path}:grid"]
    norm, module = norms(model, path, batches), model.get_submodule(path)
    weight = module.weight.T if isinstance(module, Conv1D) else module.weight
    expected = torch.zeros(weight.shape)
    for output in range(weight.shape[0]):
        for one in range(weight.shape[1]):
            expected[output, one] = weight[output, one].abs() * norm[one]
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-7)
    blocks = anatomy(model).grid(path.replace(".", r"\."), "2x4")
    block = score(model, batches, blocks, build("score", "wanda"))[f"{path}:grid"]
    sums = expected.unflatten(0, (-1, 2)).unflatten(2, (-1, 4)).sum((1, 3))
    torch.testing.assert_close(block.float(), sums, rtol=1e-4, atol=1e-7)


def test_a_head_is_worth_the_sum_over_the_weights_that_read_it():
    model = tiny("bert")
    batches, path = batches_of(model), "bert.encoder.layer.1.attention.output.dense"
    found = score(model, batches, anatomy(model).of("heads"), build("score", "wanda"))[HEADS]
    each = model.get_submodule(path).weight.abs() * norms(model, path, batches)
    torch.testing.assert_close(
        found.float(), each.sum(0).reshape(4, -1).sum(1).detach(), rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("cls", ["linear", "conv1d"])
def test_outputs_and_inputs_are_not_confused(cls):
    weight = torch.tensor([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])
    layer = nn.Linear(3, 2) if cls == "linear" else Conv1D(2, 3)
    layer.weight.data = weight if cls == "linear" else weight.T.contiguous()
    sites = plain(nn.Sequential(layer)).grid("0", "1x1", head=True)
    seen = {"square": torch.tensor([1.0, 4.0, 100.0])}
    evidence = Evidence(sites["0:grid"], {"0.weight": layer.weight.detach()}, seen)
    found = build("score", "wanda").score(evidence)
    torch.testing.assert_close(found, torch.tensor([[1.0, 4.0, 30.0], [4.0, 10.0, 60.0]]))


def test_a_module_that_is_never_reached_is_told():
    model = tiny("bert")
    model.bert.add_module("spare", nn.Linear(4, 4))
    sites = anatomy(model).grid(".*spare", "1x1")
    with pytest.raises(PrunusError, match=r"no forward pass reaches bert\.spare"):
        score(model, [batch_of(model)], sites, build("score", "wanda"))


def rowed(shape, tiling, density, levels=10**6, **budget):
    """A random grid under scope: row, of so many different scores."""
    layer = nn.Linear(shape[1], shape[0])
    sites = plain(nn.Sequential(layer)).grid("0", tiling, head=True)
    generator = torch.Generator().manual_seed(3)
    drawn = torch.randint(levels, sites["0:grid"].shape, generator=generator)
    scores = {"0:grid": drawn.float()}
    limits = Budget(density=density, metric="weights", scope="row", **budget)
    return scores["0:grid"], select(scores, sites, limits, weights(sites))["0:grid"]


@pytest.mark.parametrize("density", [0.1, 0.29, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("shape", [(3, 100), (7, 12)])
@pytest.mark.parametrize("levels", [1, 3, 10**6])
def test_every_output_keeps_its_best_inputs(shape, density, levels):
    scores, stays = rowed(shape, "1x1", density, levels)
    count = int(round(density * 1000) * shape[1] // 1000)
    for row, kept in zip(scores, stays, strict=True):
        best = sorted(range(shape[1]), key=lambda place: -row[place])[:count]
        assert sorted(best) == kept.nonzero()[:, 0].tolist()


def test_every_output_keeps_as_many_whole_runs():
    scores, stays = rowed((5, 32), "2:4", 0.7)  # 22 of 32: 16, and 3 runs whole
    assert (stays.sum(1) == 22).all()
    runs = stays.reshape(5, 8, 4).sum(-1)
    assert ((runs == 2) | (runs == 4)).all()
    for row, kept in zip(scores.reshape(5, 8, 4), runs, strict=True):
        low = [float(run.sort().values[:2].sum()) for run in row]
        assert sorted(low)[-3:] == sorted(low[at] for at in (kept == 4).nonzero()[:, 0].tolist())


def test_floors_and_ceilings_bound_every_output():
    assert (rowed((4, 10), "1x1", 0.9, ceiling=0.6)[1].sum(1) == 6).all()
    with pytest.raises(PrunusError, match=r"leaves 2 units of each row.*asks for 4"):
        rowed((4, 10), "1x1", 0.2, floor=0.4)
    with pytest.raises(PrunusError, match=r"leaves 3 units of each row.*asks for 4"):
        rowed((4, 8), "2:4", 0.4)


def test_rows_are_those_of_grids():
    sites = anatomy(tiny("bert")).of("heads")
    budget = Budget(density=0.5, metric="weights", scope="row")
    scores = {name: torch.rand(site.shape) for name, site in sites.items()}
    with pytest.raises(PrunusError, match=r"kind 'heads': scope: row .* use scope: local"):
        select(scores, sites, budget, weights(sites))
    with pytest.raises(ValueError, match="scope: row cuts every site by itself"):
        Budget(density=0.5, metric="weights", scope="row", of="model")


def test_uniform_is_local():
    assert Budget(density=0.5, scope="uniform").scope == "local"
    assert Rule(match="x", density=0.5, scope="uniform").scope == "local"


def test_rows_beside_a_budget_of_other_sites():
    sites = plain(nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 6))).grid(".*", "1x1", head=True)
    scores = {name: torch.rand(site.shape) for name, site in sites.items()}
    budget = Budget(
        density=0.5, metric="weights", rules=(Rule(match="^0", density=0.3, scope="row"),)
    )
    plan = select(scores, sites, budget, weights(sites))
    assert (plan["0:grid"].sum(1) == 3).all()
    assert plan["1:grid"].sum() == 12


@pytest.mark.parametrize("sites", [{"grid": "1x1"}, ({"grid": "2:4", "match": ".*"},)])
def test_patterns_are_pruned_in_one_call(sites):
    model = tiny("gpt2")
    small = prunus.prune(
        model, batches_of(model), sites=sites, score="wanda", select="greedy", recover=(),
        budget={"density": 0.5, "metric": "weights", "scope": "row"},
    )  # fmt: skip
    for name, module in small.named_modules():
        if isinstance(module, Conv1D):
            kept = (module.weight != 0).T
            assert (kept.sum(1) == kept.shape[1] // 2).all(), name
            assert isinstance(sites, dict) or (kept.unflatten(1, (-1, 4)).sum(-1) == 2).all()


def test_grids_in_one_call_are_checked():
    model = tiny("gpt2")
    for sites, why in (
        ([{"grid": "1x1"}, {"grid": "2:4"}], "two grids share"),
        ({"grids": "1x1"}, "grids"),
        ([3], "expected a kind of site"),
        ({"grid": "4:2"}, "is no pattern"),
    ):
        with pytest.raises(PrunusError, match=why):
            prunus.prune(model, [batch_of(model)], sites=sites)
