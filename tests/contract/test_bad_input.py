"""Bad input is answered with what, where, what was got, and how to mend it."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AlbertModel, SwinModel

import prunus
from prunus import registry
from prunus.anatomy import anatomy, families
from prunus.errors import PrunusError
from prunus.probe import Teacher
from prunus.score import score
from prunus.select import Budget, select
from prunus.select._cost import params, units
from tests.tiny import batch_of, tiny


@pytest.fixture(scope="module")
def model():
    return tiny("bert")


@pytest.fixture(scope="module")
def data(model):
    return [batch_of(model)]


def told(*parts):
    """An expected PrunusError whose message holds every part."""
    return pytest.raises(PrunusError, match="(?s)" + ".*".join(parts))


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (
            {"score": "magnitud"},
            ["magnitud", "Did you mean 'magnitude'", "Known: .*fisher.*taylor"],
        ),
        ({"score": {"name": "knowledge", "lam": 1}}, ["knowledge", "'lam'", "lam_pred"]),
        ({"score": {"name": "knowledge", "temperature": 0}}, ["temperature", "greater than 0"]),
        ({"score": {"lam_pred": 1}}, ["score", "'name'", "lam_pred"]),
        ({"drive": "swep"}, ["swep", "Did you mean 'sweep'", "oneshot"]),
        ({"recover": ["leastsquares"]}, ["leastsquares", "Did you mean 'least_squares'"]),
        (
            {"recover": [{"name": "least_squares", "ridge": -1}]},
            ["ridge", "greater than or equal to 0", "-1"],
        ),
        ({"score": "random"}, ["score: random only ranks", "select: greedy"]),
        ({"sites": ["head"]}, ["site kind 'head'", "Did you mean 'heads'", "neurons"]),
        ({"sites": ["queries"]}, ["site kind 'queries'", "Known: channels, heads"]),
        ({"density": 0}, ["density", "greater than 0", "got 0"]),
        ({"density": -0.5}, ["density", "greater than 0", "got -0.5"]),
        ({"density": 1.01}, ["density", "less than or equal to 1", "got 1.01"]),
        ({"density": float("nan")}, ["density", "nan"]),
        ({"density": "half"}, ["density", "valid number", "half"]),
        ({"budget": {"density": 0.5, "metric": "macs"}}, ["metric", "'flops'", "macs"]),
        ({"budget": {"density": 0.5, "sparsity": 0.5}}, ["key 'sparsity'", "density"]),
        ({"budget": {"metric": "flops"}}, ["one of density", "max_loss"]),
        ({"budget": {"density": 0.2, "floor": 0.5}}, ["density 0.2 allows", "floors", "lower the"]),
        (
            {"budget": {"density": 0.1, "of": "model", "metric": "params"}},
            ["density 0.1 allows", "cannot be cut"],
        ),
        ({"budget": {"density": 0.5, "floor": 0.6, "ceiling": 0.4}}, ["floor 0.6", "ceiling 0.4"]),
    ],
)
def test_settings_of_a_run(model, data, settings, parts):
    with told(*parts):
        prunus.prune(model, data, **settings)


@pytest.mark.parametrize(
    ("rules", "parts"),
    [
        ([{"match": "nothing"}], ["'nothing' matches no site", "encoder.layer.0:heads"]),
        (
            [{"match": "heads", "floor": 0.1}, {"match": r"layer\.1", "floor": 0.1}],
            ["'encoder.layer.1:heads' is matched by two budget rules", "narrow one"],
        ),
        ([{"match": "heads", "density": 2}], ["rules.0.density", "less than or equal to 1"]),
        ([{"match": "heads("}], ["heads(", "regular expression"]),
        ([{"match": "heads", "scope": "local"}], ["rules.0", "scope", "give it a density"]),
    ],
)
def test_rules(model, data, rules, parts):
    with told(*(part.replace("(", r"\(") for part in parts)):
        prunus.prune(model, data, budget={"density": 0.5, "rules": rules})


def test_no_data(model):
    for nothing in ([], iter(())):
        with told("no batches", "empty"):
            prunus.prune(model, nothing)
    sites = anatomy(model).of("heads")
    with told("no batches", "empty"):
        score(model, [], sites, registry.build("score", "taylor"))


@pytest.mark.parametrize("name", ["fisher", "taylor"])
def test_no_labels(model, data, name):
    bare = [{key: tensor for key, tensor in data[0].items() if key != "labels"}]
    with told("needs labels", "attention_mask", "BertForSequenceClassification", "knowledge"):
        prunus.prune(model, bare, score=name)


def test_a_model_without_a_loss():
    model = tiny("bert", "BertModel")
    with told("needs labels", "BertModel"):
        prunus.prune(model, [batch_of(model)], score="fisher")


def test_an_unknown_family(data):
    stranger: Any = nn.Linear(2, 2)
    stranger.config = SimpleNamespace(model_type="stranger")
    with told("unknown model family 'stranger'", ", ".join(families()), "add one", "anatomy/"):
        prunus.prune(stranger, data)
    with told("Linear has no config.model_type", "bert", "llama"):
        anatomy(nn.Linear(2, 2))


@pytest.mark.parametrize(("made", "why"), [(AlbertModel, "same layer"), (SwinModel, "windows")])
def test_a_family_whose_form_does_not_allow_pruning(made, why):
    with torch.device("meta"):
        model = made(made.config_class())
    with told(f"{made.__name__} cannot be pruned", why):
        anatomy(model)


def test_what_the_anatomy_lacks(model):
    sites = anatomy(model)
    with told("no site lies under 'encoder.layer.7'", "encoder.layer.0:heads"):
        sites.under("encoder.layer.7")
    with told("no module with a weight matrix", "'nothing'"):
        sites.grid("nothing", (1, 1))
    with told("query.weight has 32 outputs and 32 inputs", "5x4 does not divide"):
        sites.grid(".*query", (5, 4))
    with told("'encoder.layer.1'"):
        sites.under("encoder.layer.0").under("encoder.layer.1")


def test_a_prefix_is_a_whole_name():
    sites = anatomy(tiny("bert", layers=11))
    assert all(name[15] in ".:" for name in sites.under("encoder.layer.1"))
    assert len(sites.under("encoder.layer.1")) == 5


def test_scores_that_do_not_fit(model):
    sites = anatomy(model).of("heads")
    good = {name: torch.rand(4) for name in sites}
    first = next(iter(sites))
    bad = (
        (torch.rand(5), ["grid (4,)", "scores are (5,)"]),
        (torch.tensor([1, 2, float("nan"), 3]), ["not finite"]),
        (torch.tensor([1, 2, float("inf"), 3]), ["not finite"]),
    )
    for values, parts in bad:
        with told(first, *(part.replace("(", r"\(").replace(")", r"\)") for part in parts)):
            select({**good, first: values}, sites, Budget(density=0.5), units(sites))


def test_what_cannot_be_budgeted(model):
    single = anatomy(model).of("layers")
    scores = {name: torch.rand(1) for name in single}
    with told("encoder.layer.0:layers", "single unit", "scope: global"):
        select(scores, single, Budget(density=0.5, scope="local"), units(single))
    grid = anatomy(model).grid(".*query", (1, 1))
    scores = {name: torch.rand(site.shape) for name, site in grid.items()}
    with told("cost nothing in metric 'params'", "metric: units"):
        select(scores, grid, Budget(density=0.5), params(grid))


@pytest.mark.parametrize("drive", ["sweep", "oneshot"])
@pytest.mark.parametrize("kind", ["layers", "channels"])
def test_what_no_reader_can_mend(model, data, kind, drive):
    with told(f"of kind '{kind}' has no single reader", "drive: oneshot with recover: \\[\\]"):
        prunus.prune(model, data, sites=["heads", kind], score="taylor", drive=drive)


def test_a_criterion_that_a_site_cannot_feed(model, data):
    with told("of kind 'layers' is not the input of one module", "another criterion"):
        prunus.prune(model, data, sites=["layers"], drive="oneshot", recover=())


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("no.such.module:Thing", ["no.such.module"]),
        ("prunus.score.fisher:Fishr", ["Fishr"]),
        ("prunus.plan:Plan", ["prunus.plan:Plan", "Part"]),
    ],
)
def test_parts_from_elsewhere(name, parts):
    with told(*parts):
        registry.build("score", name)
    assert registry.build("score", "prunus.score.fisher:Fisher").loss == "labels"


def test_what_the_dense_model_cannot_be_held_to(model, data):
    class Odd(nn.Module):
        def forward(self, **_):
            return {"pooler_output": torch.zeros(1)}

    with told("Odd answers", "pooler_output", "labels"):
        Teacher(Odd(), 1.0)(model, data[0])
