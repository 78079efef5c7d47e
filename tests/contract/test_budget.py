"""A plan meets its budget and fills it: nothing that still fits is left out."""

import re
from fractions import Fraction
from math import ceil, floor

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from prunus.curve import Curve
from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.probe.work import work
from prunus.registry import build
from prunus.select import Budget, Rule, select
from prunus.select._cost import flops, params, units
from tests.contract.draw import COMBINATIONS, Case, cases, counts, each
from tests.tiny import FAMILIES, HEADS

METRICS = {
    "units": lambda case, sites: units(sites),
    "params": lambda case, sites: params(sites),
    "flops": lambda case, sites: flops(sites, work(case.model, case.batch)),
}

NEVER = r"(?!)"
UNFIT = {
    "greedy": NEVER,
    "threshold": NEVER,
    "curves": "depends on how many units|cannot keep runs",
    "knapsack": "depends on how many units|units of two costs|units that cost the same",
}
"""What selectors say of sites that they cannot decide on."""


def scores_of(sites, seed):
    """Scores of several sorts: any, with many ties, constant, below 0."""
    generator = torch.Generator().manual_seed(seed)
    sorts = (
        lambda shape: torch.randn(shape, generator=generator),
        lambda shape: torch.randint(3, shape, generator=generator).float(),
        torch.ones,
        lambda shape: -torch.rand(shape, generator=generator) * 1e6,
    )
    return {name: sorts[seed % 4](site.shape) for name, site in sites.items()}


def size_of(site):
    """Units in the smallest step: one of every run where runs must be even."""
    return site.units // site.run if site.even > 1 else 1


def bounds(site, budget):
    """The fewest and the most units that may stay."""
    size = size_of(site)
    steps = site.units // size
    least = max(site.least, ceil(Fraction(str(budget.floor)) * steps) * size)
    return least, max(least, floor(Fraction(str(budget.ceiling)) * steps) * size)


def check_met(plan, sites, budget, cost, limit):
    """Within the limit and the bounds, and runs are even."""
    kept = counts(plan)
    assert cost(kept) <= limit
    for name, site in sites.items():
        least, most = bounds(site, budget)
        assert least <= kept[name] <= most
        runs = plan[name].reshape(-1, site.run).sum(-1)
        assert runs.unique().numel() == 1


def check_filled(plan, sites, budget, cost, limit):
    """No step of any site would still fit."""
    kept = counts(plan)
    for name, site in sites.items():
        most = bounds(site, budget)[1]
        more = {**kept, name: kept[name] + size_of(site)}
        assert more[name] > most or cost(more) > limit, name


def planned(selector, scores, sites, budget, cost, *, per_cost=True, possible=True):
    """(plan, whether it must be filled), or (None, ...) where it rightly was refused."""
    chosen = build("select", selector)
    curves = {name: Curve.of(score) for name, score in scores.items()}
    found = curves if chosen.reads == "curve" else scores
    try:
        plan = select(found, sites, budget, cost, per_cost=per_cost, selector=chosen)
    except PrunusError as error:
        told = str(error)
        assert re.search(UNFIT[selector], told) or ("the floors alone" in told and not possible)
        return None, False
    assert possible
    return plan, chosen.fills


def limit_of(sites, budget, cost):
    """What may stay, by the definition of density."""
    share = Fraction(str(budget.density))
    if budget.of == "model":
        return share * cost({})
    bare = cost(dict.fromkeys(sites, 0))
    return bare + share * (cost({}) - bare)


@st.composite
def budgets(draw, **fixed):
    low = draw(st.sampled_from([0.0, 0.0, 0.1, 0.34, 0.5]))
    settings = {
        "density": draw(st.integers(1, 100)) / 100,
        "metric": draw(st.sampled_from(sorted(METRICS))),
        "of": draw(st.sampled_from(["sites", "model"])),
        "floor": low,
        "ceiling": draw(st.sampled_from([1.0, 1.0, 0.9, 0.5])),
    }
    return Budget(**{**settings, **fixed})


@each(*COMBINATIONS)
@given(st.data())
@settings(max_examples=8)
def test_a_global_budget_is_met_and_filled(family, kinds, data):
    case, budget = data.draw(cases(family)), data.draw(budgets())
    sites = case.of(*kinds)
    assume(sites)
    scores = scores_of(sites, data.draw(st.integers(0, 999)))
    cost = METRICS[budget.metric](case, sites)
    limit = limit_of(sites, budget, cost)
    floors = {name: bounds(site, budget)[0] for name, site in sites.items()}
    plan, fills = planned(
        data.draw(st.sampled_from(sorted(UNFIT))), scores, sites, budget, cost,
        per_cost=data.draw(st.booleans()), possible=cost(floors) <= limit,
    )  # fmt: skip
    if plan is not None:
        check_met(plan, sites, budget, cost, limit)
    if fills:
        check_filled(plan, sites, budget, cost, limit)


@each(("heads",), ("queries",), ("neurons",), ("channels",), ("heads", "neurons"))
@given(st.data())
def test_a_local_budget_cuts_each_site_to_its_share(family, kinds, data):
    case = data.draw(cases(family))
    budget = data.draw(budgets(scope="local", of="sites"))
    sites = {name: site for name, site in case.of(*kinds).items() if site.units > 1}
    assume(sites)
    scores = scores_of(sites, data.draw(st.integers(0, 999)))
    limits = {name: Fraction(str(budget.density)) * site.units for name, site in sites.items()}
    plan, fills = planned(
        data.draw(st.sampled_from(sorted(UNFIT))), scores, sites, budget, units(sites),
        possible=all(bounds(site, budget)[0] <= limits[name] for name, site in sites.items()),
    )  # fmt: skip
    for name, site in sites.items() if plan is not None else ():
        own = {name: plan[name]}, {name: site}, budget, units({name: site}), limits[name]
        check_met(*own)
        if fills:
            check_filled(*own)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("of", ["sites", "model"])
def test_parameters_counted_on_the_shrunk_model_meet_the_budget(family, of):
    case = Case(family, HEADS[family].__name__, 2, {"layers": 2})
    sites = case.of("heads", "neurons", "channels")
    budget = Budget(density=0.6, metric="params", of=of)
    plan = select(scores_of(sites, 0), sites, budget, params(sites))
    counted = sum(p.numel() for p in shrink(case.model, plan).parameters())
    limit = limit_of(sites, budget, params(sites))
    slack = limit - counted
    assert 0 <= slack < max(-params(sites).step(name, {}, -1) for name in sites)


def best_first(score, mask):
    """Whether every unit that stays scores at least as high as every one that goes."""
    return not mask.any() or mask.all() or score[mask].min() >= score[~mask].max()


@given(st.data())
def test_within_a_site_the_best_units_stay(data):
    case = data.draw(cases(data.draw(st.sampled_from(FAMILIES))))
    sites = case.of("heads", "neurons", "channels")
    budget = data.draw(budgets(floor=0.0, density=0.7))
    scores = scores_of(sites, data.draw(st.integers(0, 999)))
    plan = select(scores, sites, budget, METRICS[budget.metric](case, sites))
    assert all(best_first(scores[name], plan[name]) for name in sites)


def test_of_equal_costs_the_best_units_of_all_sites_stay():
    case = Case("bert", "BertModel", 0, {"layers": 3})
    sites = case.of("neurons")
    scores = scores_of(sites, 0)
    plan = select(scores, sites, Budget(density=0.37), METRICS["flops"](case, sites))
    wide = torch.cat([scores[name] for name in sites])
    assert best_first(wide, torch.cat([plan[name] for name in sites]))


def test_scores_are_weighed_against_costs_only_where_they_add_up():
    case = Case("bert", "BertModel", 0, {"layers": 1})
    sites = case.of("heads", "neurons")
    scores = {"encoder.layer.0:heads": torch.full((4,), 2.0)}
    scores["encoder.layer.0:neurons"] = torch.ones(24)
    budget = Budget(density=0.8, metric="params")
    weighed = select(scores, sites, budget, params(sites), per_cost=True)
    plain = select(scores, sites, budget, params(sites), per_cost=False)
    assert counts(weighed)["encoder.layer.0:neurons"] == 24
    assert counts(plain)["encoder.layer.0:heads"] == 4


def test_a_density_of_one_keeps_everything():
    for family in FAMILIES:
        case = Case(family, HEADS[family].__name__, 0, {})
        for of in ("sites", "model"):
            for metric in METRICS:
                budget = Budget(density=1, metric=metric, of=of)
                cost = METRICS[metric](case, case.sites)
                plan = select(scores_of(case.sites, 3), case.sites, budget, cost)
                assert plan == Plan.dense(case.sites)


def test_what_is_decided_stays_so_and_counts():
    case = Case("bert", "BertModel", 0, {"layers": 3})
    sites = case.of("heads", "neurons")
    cost = params(sites)
    budget = Budget(density=0.5, metric="params")
    first = {"encoder.layer.0:heads": torch.tensor([True, False, False, False])}
    left = {name: score for name, score in scores_of(sites, 0).items() if name not in first}
    plan = select(left, sites, budget, cost, Plan(first))
    assert torch.equal(plan["encoder.layer.0:heads"], first["encoder.layer.0:heads"])
    limit = limit_of(sites, budget, cost)
    assert cost(counts(plan)) <= limit
    for name in left:
        more = {**counts(plan), name: counts(plan)[name] + 1}
        assert more[name] > sites[name].units or cost(more) > limit


def test_rules_have_their_own_budgets_and_bounds():
    case = Case("bert", "BertModel", 0, {"layers": 3, "intermediate_size": 20})
    sites = case.of("heads", "neurons")
    rules = (
        Rule(match="heads", density=0.5, scope="local"),
        Rule(match=r"layer\.0:neurons", floor=0.9),
        Rule(match=r"layer\.1:neurons", ceiling=0.2),
    )
    budget = Budget(density=0.4, metric="params", rules=rules)
    kept = counts(select(scores_of(sites, 1), sites, budget, params(sites)))
    assert [kept[name] for name in sites if name.endswith("heads")] == [2, 2, 2]
    assert kept["encoder.layer.0:neurons"] >= 18
    assert kept["encoder.layer.1:neurons"] <= 4
    neurons = {name: kept[name] for name in sites if name.endswith("neurons")}
    assert sum(neurons.values()) == floor(0.4 * 60)


def test_a_grid_is_cut_to_its_share_of_units():
    case = Case("bert", "BertModel", 0, {"layers": 2})
    sites = case.sites.grid(r".*(query|key)", (4, 1))
    for scope in ("global", "local"):
        budget = Budget(density=0.3, metric="units", scope=scope)
        plan = select(scores_of(sites, 0), sites, budget, units(sites))
        share = floor(Fraction("0.3") * (256 if scope == "local" else 4 * 256))
        total = sum(counts(plan).values())
        assert total == (4 * share if scope == "local" else share)
