"""Ranking, cutting and training in turns: what goes is gone, and a run that broke off goes on."""

from itertools import pairwise
from math import gcd

import pytest
import torch

import prunus
from prunus.adapt import adapted, learns, merge
from prunus.anatomy import anatomy
from prunus.checkpoint import load_adapters
from prunus.drive._learning import Learning
from prunus.errors import PrunusError
from prunus.measure.size import parameters
from prunus.recipe import Recipe
from prunus.recipe.check import check
from prunus.recipe.run import run
from tests.recipes.test_images import stock, task

CRITERIA = {
    "weight": {"name": "magnitude", "of": "outputs", "folded": True, "normalize": "l1"},
    "gradient": {"name": "activation_gradient", "normalize": "l2"},
    "taylor": {"name": "taylor", "at": "outputs", "per": "batch", "normalize": "l2"},
    "lrp": {"name": "lrp", "normalize": "l1"},
    "slimming": "bn_scale",
    "median": "fpgm",
}
QUICK = {"learning_rate": 1e-3, "batch_size": 16}
STEPWISE = {"name": "stepwise", "steps": 3, "recovery": 0.5}


def recipe(folder, name="resnet", **said):
    return Recipe.model_validate({
        "model": str(stock(folder / "dense", name)), "task": task(), "sites": "channels",
        "budget": {"density": 0.4, "of": "model"}, "drive": STEPWISE, "training": QUICK,
        "calibration": {"samples": 16, "batch_size": 8}, "latency": None,
        "evaluation": {"baselines": False}, **said,
    })  # fmt: skip


@pytest.fixture
def trained(monkeypatch, in_process, quick_gc):
    """What was trained, training by training: parameters, of which trained, and zero channels."""
    seen, train = [], Learning.train

    def watched(self, model, *args):
        history = train(self, model, *args)
        dead = sum(
            int((own.flatten(1).abs().sum(1) == 0).sum())
            for name, own in model.named_parameters()
            if own.dim() > 1 and "adapter" not in name
        )
        learnt = sum(own.numel() for own in model.parameters() if own.requires_grad)
        seen.append((parameters(model), learnt, dead, len(adapted(model))))
        return history

    monkeypatch.setattr(Learning, "train", watched)
    return seen


def trained_parameters_of(model):
    names = learns(model)
    return sum(own.numel() for name, own in model.named_parameters() if name in names)


@pytest.mark.parametrize("adapt", [None, {"name": "splora", "rank": 2}], ids=["fine", "splora"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_channels_are_gone_after_every_step(criterion, adapt, trained, tmp_path):
    report = run(recipe(tmp_path, score=CRITERIA[criterion], adapt=adapt), tmp_path / "run", True)
    sizes, learnt, dead, layers = zip(*trained, strict=True)
    assert all(later < before for before, later in pairwise(sizes))
    assert not any(dead)
    assert report.flops.pruned <= 0.4 * report.flops.dense
    assert report.trained == learnt[-1]
    assert all(bool(count) == (adapt is not None) for count in layers)
    assert (learnt[-1] < sizes[-1] * 0.6) == (adapt is not None)
    small = prunus.load(tmp_path / "run/model")
    assert not adapted(small)
    if adapt is not None:
        again = load_adapters(prunus.load(tmp_path / "dense"), tmp_path / "run/adapters")
        assert trained_parameters_of(again) == report.trained
        merge(again)
        one, other = small.state_dict(), again.state_dict()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert parameters(small) == report.params.pruned


@pytest.mark.parametrize(
    ("name", "sites"),
    [("convnext", "channels"), ("mobilenet_v2", "channels"), ("efficientnet", "channels"),
     ("vit", ["heads", "neurons"])],
)  # fmt: skip
def test_every_kind_of_network(name, sites, trained, tmp_path):
    rank = {"name": "splora", "rank": 2}
    said = {"sites": sites, "adapt": rank, "budget": {"density": 0.6}}
    report = run(recipe(tmp_path, name, **said), tmp_path / "run", True)
    assert report.flops.pruned < report.flops.dense
    assert trained[0][0] > trained[-1][0]


def test_epochs_before_and_after(trained, tmp_path):
    drive = {**STEPWISE, "steps": 1, "before": 0.5, "after": 1}
    run(recipe(tmp_path, drive=drive), tmp_path / "run", True)
    assert len(trained) == 2
    assert trained[0][0] > trained[1][0]


def test_every_site_by_itself_with_a_floor(trained, tmp_path):
    budget = {"density": 0.7, "scope": "local", "floor": 0.5, "metric": "units"}
    said = recipe(tmp_path, "convnext", budget=budget, drive={**STEPWISE, "steps": 1})
    report = run(said, tmp_path / "run", True)
    assert all(kept == max(2, int(0.7 * of)) for kept, of in report.kept.values())


def test_counts_are_rounded_in_every_step(trained, tmp_path):
    budget = {"density": 0.6, "of": "model", "round_to": 4}
    report = run(recipe(tmp_path, budget=budget), tmp_path / "run", True)
    assert all(kept % gcd(of, 4) == 0 for kept, of in report.kept.values())


def test_distilled(trained, tmp_path):
    losses = ["labels", {"name": "logits", "weight": 2}]
    assert run(recipe(tmp_path, losses=losses), tmp_path / "run", True).trained


def test_a_preview(tmp_path):
    preview = check(recipe(tmp_path))
    assert len(preview.sites) == len(anatomy(prunus.load(tmp_path / "dense")))


def test_epochs_are_said_by_the_drive(tmp_path):
    with pytest.raises(ValueError, match=r"training.epochs .* say drive.recovery"):
        recipe(tmp_path, training={"epochs": 3})


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"select": "curves", "score": {"name": "taylor"}}, "use select: greedy"),
        ({"recover": "bias"}, "drive: stepwise trains the weights that stay"),
        ({"sites": {"grid": "1x1"}}, "can only be masked"),
        ({"drive": {**STEPWISE, "schedule": {"name": "cubic", "warmup": 3}}}, "schedule.warmup is"),
        ({"compare": ["random"]}, "drive: stepwise would train each"),
        ({"budget": {"density": 0.001, "of": "model"}}, "floors alone"),
    ],
)
def test_what_cannot_be(said, match, tmp_path):
    with pytest.raises(PrunusError, match=match):
        run(recipe(tmp_path, **said), tmp_path / "run", True)
