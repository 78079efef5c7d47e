"""Measured losses of doing without units, and their removal one by one, written out slowly."""

import copy

import pytest
import torch

from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.errors import PrunusError
from prunus.registry import build
from prunus.score import score
from tests.tiny import batch_of, far, outputs, tiny

ABLATION = build("score", "ablation")
READERS = {"attention": "attention.output.dense", "feed_forward": "output.dense"}


def data_of(model, sizes=(3, 2)):
    return [batch_of(model, size, seed=seed) for seed, size in enumerate(sizes)]


def divergence(model, dense, batches):
    """Mean over samples of KL(dense || model)."""
    total, samples = 0.0, 0
    for batch in batches:
        with torch.no_grad():
            goal, own = (m(**batch).logits.double().log_softmax(-1) for m in (dense, model))
        total += float((goal.exp() * (goal - own)).sum())
        samples += len(goal)
    return total / samples


def without(model, *sublayers):
    """A copy of a BERT in which what sublayers read of their units is worth nothing."""
    damaged = copy.deepcopy(model)
    for name in sublayers:
        layer, _, part = name.removesuffix(":sublayers").rpartition(".")
        damaged.get_submodule(f"bert.{layer}.{READERS[part]}").weight.data.zero_()
    return damaged


def test_sublayers_and_heads_are_scored_by_what_zeroed_weights_do():
    model = tiny("bert")
    data = data_of(model)
    found = score(model, data, anatomy(model).of("sublayers", "heads"), ABLATION)
    for name in anatomy(model).of("sublayers"):
        assert float(found[name]) == pytest.approx(
            divergence(without(model, name), model, data), rel=1e-3
        )
    for head in range(4):
        damaged = copy.deepcopy(model)
        out = damaged.bert.encoder.layer[1].attention.output.dense
        out.weight.data[:, 8 * head : 8 * head + 8] = 0
        expected = divergence(damaged, model, data)
        assert float(found["encoder.layer.1:heads"][head]) == pytest.approx(expected, rel=1e-3)


def test_layers_are_scored_by_passing_them_by():
    model = tiny("bert", layers=3)
    data = data_of(model)
    found = score(model, data, anatomy(model).of("layers"), ABLATION)
    for index in range(3):
        damaged = copy.deepcopy(model)
        del damaged.bert.encoder.layer[index]
        expected = divergence(damaged, model, data)
        assert float(found[f"encoder.layer.{index}:layers"]) == pytest.approx(expected, rel=1e-3)


def test_a_damaged_model_is_scored_by_how_much_worse_it_gets():
    dense = tiny("bert")
    data, (first, *_, last) = data_of(dense), anatomy(dense).of("sublayers")
    damaged = without(dense, first)
    found = score(
        damaged, data, anatomy(dense).of("sublayers"), ABLATION, ABLATION.teacher(dense, data)
    )
    rise = divergence(without(damaged, last), dense, data) - divergence(damaged, dense, data)
    assert float(found[last]) == pytest.approx(rise, rel=1e-3)
    assert abs(float(found[first])) < 1e-7


@pytest.mark.parametrize("family", ["bert", "llama", "t5"])
def test_the_dense_answers_are_those_of_the_whole_model_however_batches_come(family):
    model = tiny(family)
    data, sites = data_of(model), anatomy(model).of("sublayers")

    class Anew:
        def __iter__(self):
            return (dict(batch) for batch in data)

    kept, anew = (score(model, batches, sites, ABLATION) for batches in (data, Anew()))
    assert all(float(kept[name]) > 1e-9 for name in sites)
    assert all(torch.equal(kept[name], anew[name]) for name in sites)


def test_too_many_units_are_refused_with_what_they_would_cost():
    model = tiny("bert", intermediate_size=140)
    with pytest.raises(PrunusError, match=r"\(heads, neurons\) have 288; at most 256 are measured"):
        score(model, data_of(model), anatomy(model).of("heads", "neurons"), ABLATION)


def one_by_one(dense, data, cost, limit):
    """Drop the sublayer whose loss for its cost is least, measured anew each time; then refill."""
    gone, names = [], list(anatomy(dense).of("sublayers"))
    total = lambda: cost({name: int(name not in gone) for name in names})  # noqa: E731
    while total() > limit:
        now = divergence(without(dense, *gone), dense, data)
        left = [name for name in names if name not in gone]
        each = {n: divergence(without(dense, *gone, n), dense, data) - now for n in left}
        gone.append(min(left, key=lambda n: each[n] / float(cost.price(n))))
    for name in reversed(list(gone)):
        gone.remove(name)
        if total() > limit:
            gone.append(name)
    return set(gone)


@pytest.mark.parametrize("density", [0.75, 0.5, 0.3])
def test_iterative_is_one_by_one(density):
    model = tiny("bert", layers=4, seed=2)
    data = data_of(model, (4, 4))
    job = job_of(
        model, anatomy(model).of("sublayers"), data, score="ablation",
        budget={"density": density}, recover=(),
    )  # fmt: skip
    plan = build("drive", "iterative").run(job)
    empty = job.cost(dict.fromkeys(plan, 0))
    gone = one_by_one(model, data, job.cost, empty + density * (job.cost({}) - empty))
    assert {name for name, stays in plan.items() if not stays.any()} == gone
    small = finish(job, plan)
    assert far(outputs(small, data[0]), outputs(without(model, *gone), data[0])) < 1e-5


def spare(job, plan, density):
    """What the plan leaves of the budget, and the sites of which one step more would fit."""
    kept, empty = plan.counts(), job.cost(dict.fromkeys(plan, 0))
    left = empty + density * (job.cost({}) - empty) - job.cost(kept)
    more = [
        name for name, site in job.sites.items()
        if kept[name] < site.units
        and job.cost.step(name, kept, site.units // site.run if site.even > 1 else 1) <= left
    ]  # fmt: skip
    return left, more


@pytest.mark.parametrize(
    ("family", "kinds"),
    [
        ("bert", ("layers",)),
        ("bert", ("heads", "neurons")),
        ("t5", ("sublayers",)),
        ("llama", ("heads", "queries")),
        ("llama", ("layers", "sublayers")),
    ],
)
@pytest.mark.parametrize("density", [0.7, 0.35])
def test_iterative_meets_and_fills_the_budget(family, kinds, density):
    model = tiny(family, layers=3)
    repairs = () if "layers" in kinds else ("least_squares",)
    job = job_of(
        model, anatomy(model).of(*kinds), data_of(model), score="taylor", recover=repairs,
        budget={"density": density, "rules": [{"match": r"\.0.*(layers|neurons)", "floor": 0.1}]}
        if family == "bert" else {"density": density},
    )  # fmt: skip
    plan = build("drive", "iterative").run(job)
    left, more = spare(job, plan, density)
    assert left >= 0
    assert not more
    assert torch.isfinite(outputs(finish(job, plan), job.batches[0])).all()


def test_rules_have_budgets_of_their_own():
    model = tiny("bert", layers=4)
    rules = [{"match": "attention", "density": 0.5}]
    job = job_of(
        model, anatomy(model).of("sublayers"), data_of(model), score="ablation",
        budget={"density": 0.75, "rules": rules, "metric": "params"}, recover=["least_squares"],
    )  # fmt: skip
    kept = build("drive", "iterative").run(job).counts()
    assert sum(count for name, count in kept.items() if "attention" in name) == 2
    assert sum(count for name, count in kept.items() if "feed_forward" in name) == 3


def test_channels_do_not_go_one_by_one():
    model = tiny("bert")
    job = job_of(
        model, anatomy(model).of("channels"), data_of(model), score="taylor",
        budget={"density": 0.5}, recover=(),
    )  # fmt: skip
    with pytest.raises(PrunusError, match="channels cannot go one by one; use drive: oneshot"):
        build("drive", "iterative").run(job)
