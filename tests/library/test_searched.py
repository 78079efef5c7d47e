"""A budget that is searched for in a library: met, and at least as good as any other choice."""

from itertools import product

import pytest
import torch

import prunus
from prunus.anatomy import anatomy
from prunus.drive import cost_of, shrink
from prunus.drive._modules import Tuning
from prunus.drive._searched import losses
from prunus.errors import PrunusError
from prunus.measure.size import parameters
from prunus.plan import Plan
from prunus.probe import Teacher
from prunus.select import Budget
from tests.library.drives import CLOSED, TUNED, compose, data, drive, job, same
from tests.tiny import FAMILIES, batch_of, outputs, tiny

DENSITIES = [0.25, 0.5, 0.75]


def searched(folder, family="bert", density=0.6, metric="flops", recover=CLOSED, **budget):
    own = job(family, recover=recover, budget={"density": density, "metric": metric, **budget})
    return own, *compose(own, folder, densities=DENSITIES)


def test_each_loss_is_that_of_the_model_with_one_module_exchanged(tmp_path):
    own, _, composed, _ = searched(tmp_path)
    (out,) = Tuning(own, 0.125).batches[1]
    teacher = Teacher(own.model, 1.0)
    for name, module in composed.filled.modules.items():
        single = shrink(own.model, Plan({module.site: module.mask}), own.sites)
        with torch.no_grad():
            for key, tensor in module.tensors.items():
                single.get_parameter(key).copy_(tensor)
            expected = float(teacher(single, out)) / len(out["labels"])
        assert composed.losses[name] == pytest.approx(expected, rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("family", ["bert", "t5", "gpt2", "vit"])
def test_no_other_choice_of_modules_within_the_budget_loses_less(family, tmp_path):
    own, _, composed, plan = searched(tmp_path, tiny(family, layers=1))
    modules = composed.filled.modules
    names = [[None, *(n for n, m in modules.items() if m.site == site)] for site in own.sites]

    def loss(row):
        return sum(composed.losses[name] for name in row if name)

    def cost(row):
        return own.cost({modules[n].site: int(modules[n].mask.sum()) for n in row if n})

    bare = own.cost(dict.fromkeys(own.sites, 0))
    limit = bare + 0.6 * (own.cost({}) - bare)
    assert own.cost(plan.counts()) <= limit
    least = min(loss(row) for row in product(*names) if cost(row) <= limit)
    assert loss(composed.used) == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("metric", ["flops", "params", "units"])
def test_one_library_serves_every_size(metric, tmp_path):
    sums, counts = [], []
    for place, density in enumerate((0.9, 0.7, 0.5, 0.3)):
        own, small, composed, plan = searched(tmp_path, density=density, metric=metric)
        assert bool(composed.filled.tuned) == (place == 0)
        assert composed.pick is None
        bare = own.cost(dict.fromkeys(own.sites, 0))
        assert own.cost(plan.counts()) <= bare + density * (own.cost({}) - bare)
        sums.append(sum(composed.losses[name] for name in composed.used))
        counts.append(parameters(small))
        assert outputs(small, batch_of(small)).isfinite().all()
    assert sums == sorted(sums)
    assert counts == sorted(counts, reverse=True)


def test_losses_are_kept_with_the_modules(tmp_path, monkeypatch):
    _, one, first, _ = searched(tmp_path)
    monkeypatch.setattr("prunus.drive._searched.Teacher.__call__", None)
    _, again, second, _ = searched(tmp_path)
    assert second.losses == first.losses
    assert same(one, again)


def test_losses_are_kept_where_repairs_choose_other_units(tmp_path, monkeypatch):
    said = {"recover": ({"name": "reselect"}, "least_squares"), "density": 0.5}
    budget = {"density": 0.5, "metric": "flops"}
    runs = []
    for _ in range(2):
        own = job(score="obs", recover=said["recover"], budget=budget)
        runs.append(compose(own, tmp_path, densities=DENSITIES))
        monkeypatch.setattr("prunus.drive._searched.Teacher.__call__", None)
    assert runs[0][1].losses == runs[1][1].losses
    assert same(runs[0][0], runs[1][0])


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_measuring_leaves_the_dense_model_as_it_was(family, tmp_path):
    names = ("hidden_dropout_prob", "dropout_rate")
    model = tiny(family, **dict.fromkeys(names, 0.5))
    tuning = Tuning(job(model, recover=CLOSED), 0.25)
    asked = drive(tmp_path, densities=DENSITIES)
    found = asked.filled(
        tuning,
        {str(own): own for one in asked.modules(tuning.job) for own in one.values()},
        asked.store(str),
    )
    calm = losses(tuning, found.modules)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert losses(tuning, found.modules) == calm
    model.train()
    assert losses(tuning, found.modules) == calm
    assert all(module.training for module in model.modules())
    assert sum(hooks) == 0
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]


def test_a_budget_that_no_modules_meet_is_told(tmp_path):
    with pytest.raises(PrunusError, match="the floors alone"):
        searched(tmp_path, density=0.1)


def test_floors_and_rules_hold(tmp_path):
    _, _, _, plan = searched(tmp_path, density=0.5, rules=[{"match": "layer.0", "floor": 0.75}])
    counts = plan.counts()
    assert counts["encoder.layer.0:heads"] >= 3
    assert counts["encoder.layer.0:neurons"] >= 18


def test_the_call_in_python_meets_its_density(tmp_path):
    model = tiny("bert")
    said = {"name": "library", "densities": DENSITIES, "folder": str(tmp_path)}
    batches = data(model)
    small = prunus.prune(model, batches, 0.5, drive=said, recover=CLOSED)
    sites = anatomy(model).of("heads", "neurons")
    cost = cost_of(model, sites, Budget(density=1).metric, batches[0], 7)
    counts = {name: site.units for name, site in sites.read(small).items()}
    bare = cost(dict.fromkeys(sites, 0))
    assert 0.3 < (cost(counts) - bare) / (cost({}) - bare) <= 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_modules_without_units_are_a_choice(family, tmp_path):
    """What a search may take out whole is composed, saved as any cut, and costs nothing."""
    said = {"recover": TUNED, "budget": {"density": 0.3, "metric": "units"}, "select": "greedy"}
    small, composed, plan = compose(job(family, **said), tmp_path, densities=[0, 0.5])
    empty = [name for name, own in composed.filled.modules.items() if not own.mask.any()]
    assert len(empty) == len(job(family).sites)
    assert any(not mask.any() for mask in plan.values())
    assert outputs(small, batch_of(small)).isfinite().all()
