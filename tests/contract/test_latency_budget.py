"""Budgets of latency: costs that jump and stay flat, met by every selector, best by brute force."""

from fractions import Fraction
from itertools import pairwise, product
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunus.anatomy import anatomy
from prunus.curve import Curve
from prunus.drive import job_of
from prunus.errors import PrunusError
from prunus.probe.work import work
from prunus.registry import build, parse
from prunus.select import Budget, select
from prunus.select._cost import flops, params, units
from prunus.select._latency import Latency
from prunus.select.curves import spread
from tests.contract.draw import Case
from tests.tiny import HEADS


def case_of(family, layers=2):
    return Case(family, HEADS[family].__name__, 1, {"layers": layers})


def latency_of(case, *kinds, seed=0):
    """An invented table for a model: dear first units, jumps, flat stretches."""
    draw = torch.Generator().manual_seed(seed)
    fine = case.of("heads", "neurons")
    curves = {}
    for name, site in fine.items():
        steps = torch.randint(0, 3, (site.units,), generator=draw) * 1000
        curves[name] = (0, *(5000 + steps.cumsum(0)).tolist())
    layers = {site.reader: 700 for site in case.of("layers").values()}
    return Latency.of(3000, layers, curves, case.sites, case.of(*kinds)), curves, layers


def plans(sites, seed, count=20):
    """Counts of units that stay, none and all of them now and then."""
    draw = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield {
            name: int(torch.randint(site.units + 1, (1,), generator=draw))
            for name, site in sites.items()
        }


@pytest.mark.parametrize("family", ["bert", "t5", "vit"])
def test_the_time_of_a_plan_is_the_sum_of_what_each_site_adds(family):
    case = case_of(family)
    cost, _, _ = latency_of(case, "heads", "neurons")
    alone = {name: cost.alone(name) for name in cost.sizes}
    bare = cost(dict.fromkeys(cost.sizes, 0))
    for kept in plans(case.of("heads", "neurons"), 1):
        assert cost(kept) == bare + sum(alone[name][count] for name, count in kept.items())
    for name, size in cost.sizes.items():
        assert len(alone[name]) == size + 1
        assert alone[name] == sorted(alone[name])
        assert cost.price(name) == (alone[name][-1] - alone[name][0]) / size > 0


def test_a_step_is_the_difference_and_may_be_nothing():
    case = case_of("bert")
    cost, _, _ = latency_of(case, "heads", "neurons")
    seen = set()
    for kept in plans(case.of("heads", "neurons"), 2):
        for name, size in cost.sizes.items():
            if kept[name] < size:
                more = {**kept, name: kept[name] + 1}
                seen.add(cost.step(name, kept))
                assert cost.step(name, kept) == cost(more) - cost(kept)
    assert 0 in seen
    assert min(seen) == 0


def test_removed_sublayers_and_layers_cost_nothing():
    case = case_of("bert")
    fine, curves, layers = latency_of(case, "heads", "neurons")
    dense = fine({})
    coarse, _, _ = latency_of(case, "sublayers")
    attention = "encoder.layer.0.attention:sublayers"
    assert coarse({attention: 0}) == fine({"encoder.layer.0:heads": 0})
    assert coarse.alone(attention) == [0, curves["encoder.layer.0:heads"][-1]]
    whole, _, _ = latency_of(case, "layers")
    saved = sum(curves[f"encoder.layer.1:{kind}"][-1] for kind in ("heads", "neurons"))
    assert whole({"encoder.layer.1:layers": 0}) == dense - saved - 700
    assert whole.alone("encoder.layer.1:layers") == [0, saved + 700]
    every, _, _ = latency_of(case, "heads", "neurons", "sublayers", "layers")
    kept = {"encoder.layer.1:layers": 0, "encoder.layer.0:heads": 2, attention: 0}
    assert every(kept) == dense - saved - 700 - curves["encoder.layer.0:heads"][-1]
    assert len(layers) == 2


@pytest.mark.parametrize("kinds", [("heads", "sublayers"), ("neurons", "layers")])
def test_sites_whose_times_depend_on_each_other_cannot_be_weighed_alone(kinds):
    cost, _, _ = latency_of(case_of("bert"), *kinds)
    with pytest.raises(PrunusError, match=r"adds to the latency depends .*\n?.*one by one"):
        cost.alone(f"encoder.layer.0:{kinds[0]}")


def test_counted_costs_are_weighed_alone_where_that_can_be():
    case = case_of("bert")
    sites = case.of("heads", "neurons")
    for cost in (units(sites), params(sites), flops(sites, work(case.model, case.batch))):
        alone = {name: cost.alone(name) for name in sites}
        bare = cost(dict.fromkeys(sites, 0))
        for kept in plans(sites, 3, 5):
            assert cost(kept) == bare + sum(alone[name][count] for name, count in kept.items())
        assert all(cost.price(name) == alone[name][-1] - alone[name][-2] for name in sites)


@pytest.mark.parametrize(
    "kinds", [("channels", "heads"), ("heads", "sublayers"), ("heads", "layers")]
)
def test_counted_costs_that_mix_sites_are_not(kinds):
    cost = params(case_of("bert").of(*kinds))
    with pytest.raises(PrunusError, match="adds to the params depends on how many units"):
        cost.alone("encoder.layer.0:heads")


def test_channels_by_themselves_are_weighed_alone():
    cost = params(case_of("bert").of("channels"))
    found = cost.alone("stream:channels")
    assert found == sorted(found)
    assert found[-1] == cost({}) - cost({"stream:channels": 0})


@st.composite
def curves(draw):
    """Losses that fall and costs that rise, both with jumps and flat stretches."""
    losses, costs = {}, {}
    for name in "abc"[: draw(st.integers(1, 3))]:
        size = draw(st.integers(1, 4))
        rises = draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))
        falls = draw(st.lists(st.integers(0, 99), min_size=size, max_size=size))
        costs[name] = [sum(rises[:count]) for count in range(size + 1)]
        losses[name] = [float(sum(falls[count:])) for count in range(size + 1)]
    return losses, costs


@given(curves(), st.integers(0, 60))
@settings(max_examples=150)
def test_the_split_meets_its_limit_and_no_other_loses_less(drawn, limit):
    losses, costs = drawn
    splits = [
        dict(zip(costs, s, strict=True)) for s in product(*(range(len(c)) for c in costs.values()))
    ]
    fitting = [s for s in splits if sum(costs[n][k] for n, k in s.items()) <= limit]
    best = min(sum(losses[n][k] for n, k in s.items()) for s in fitting)
    for bins, exact in ((max(1, limit), True), (7, False)):
        found = spread(losses, costs, limit, bins)
        assert sum(costs[n][k] for n, k in found.items()) <= limit
        lost = sum(losses[n][k] for n, k in found.items())
        assert lost == best if exact else lost >= best


@pytest.mark.parametrize("selector", ["curves", "greedy"])
@pytest.mark.parametrize("family", ["bert", "t5", "vit"])
@given(st.integers(0, 99), st.sampled_from([0.95, 0.8, 0.6, 0.5, 0.35]))
@settings(max_examples=6)
def test_plans_meet_and_fill_a_budget_of_latency(selector, family, seed, density):
    case = case_of(family)
    sites = case.of("heads", "neurons")
    cost, _, _ = latency_of(case, "heads", "neurons", seed=seed)
    draw = torch.Generator().manual_seed(seed)
    scores = {name: torch.rand(site.shape, generator=draw) for name, site in sites.items()}
    found = {name: Curve.of(s) for name, s in scores.items()} if selector == "curves" else scores
    budget = Budget(density=density, metric="latency")
    plan = select(found, sites, budget, cost, selector=build("select", selector))
    bare = cost(dict.fromkeys(sites, 0))
    limit = bare + Fraction(str(density)) * (cost({}) - bare)
    kept = plan.counts()
    assert cost(kept) <= limit
    for name, site in sites.items():
        more = {**kept, name: kept[name] + 1}
        assert kept[name] == site.units or cost(more) > limit


def test_a_speedup_is_a_density_of_the_whole_model():
    budget = parse(Budget, "budget", {"speedup": 4, "metric": "latency", "at": {"batch": 1}})
    assert (budget.density, budget.of, budget.metric) == (0.25, "model", "latency")
    assert budget.at is not None
    assert (budget.at.batch, budget.at.length, budget.at.threads) == (1, 128, 1)
    told = budget.model_dump(mode="json", exclude_none=True)
    assert "density" not in told
    assert parse(Budget, "budget", told) == budget
    assert parse(Budget, "budget", {"density": 0.5, "metric": "latency"}).at is not None
    assert parse(Budget, "budget", {"speedup": 2}).at is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "one of density (0.5), speedup (2)"),
        ({"density": 0.5, "speedup": 2}, "got density and speedup"),
        ({"speedup": 0.5}, "speedup: Input should be greater than or equal to 1"),
        ({"speedup": "fast"}, "speedup: Input should be a valid number"),
        ({"speedup": 2, "metric": "params"}, "metric: flops or latency, not of params"),
        ({"speedup": 2, "of": "sites"}, "speedup is one of the whole model"),
        ({"speedup": 2, "scope": "local"}, "scope: local cuts every site by itself"),
        ({"density": 0.5, "at": {"batch": 1}}, "but the metric is flops"),
        ({"density": 0.5, "metric": "latency", "at": {"batch": 0}}, "at.batch"),
        ({"densty": 0.5}, "Did you mean 'density'?"),
    ],
)
def test_what_a_budget_cannot_mean_is_told(said, told):
    with pytest.raises(PrunusError) as error:
        parse(Budget, "budget", said)
    assert told in str(error.value)


@pytest.mark.parametrize("slower", [1.0, 1.25])
def test_a_plan_is_timed_once_and_the_limit_corrected(slower, monkeypatch):
    """A machine on which the pruned model takes ``slower`` times what the table says."""
    case = case_of("bert")
    cost, _, _ = latency_of(case, "heads", "neurons")
    monkeypatch.setattr("prunus.drive.cost_of", lambda *_: cost)
    timed = []

    def paired(dense, small, batch, at):
        timed.append((dense, small, at))
        kept = {name: site.units for name, site in anatomy(small).items()}
        predicted = cost({name: kept.get(name, 0) for name in cost.sizes})
        return SimpleNamespace(speedup=cost({}) / (predicted * slower))

    monkeypatch.setattr("prunus.drive._first.paired", paired)
    budget = {"metric": "latency", "density": 0.6, "of": "model"}
    job = job_of(
        case.model, case.of("heads", "neurons"), [case.batch],
        score="magnitude", select="curves", budget=budget, recover=(),
    )  # fmt: skip
    plan = build("drive", "oneshot").run(job)
    assert len(timed) == 1
    assert cost(plan.counts()) * slower <= 0.6 * cost({}) * (1 + 1e-9)
    dearest = max(max(b - a for a, b in pairwise(cost.alone(name))) for name in cost.sizes)
    assert cost(plan.counts()) * slower > 0.6 * cost({}) - slower * dearest
