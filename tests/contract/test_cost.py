"""What a plan is said to cost is what is counted on the shrunk model, to the last parameter."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from prunus.edit import shrink
from prunus.measure import size
from prunus.plan import Plan
from prunus.probe.work import flops as counted
from prunus.probe.work import single, work
from prunus.select._cost import flops, params, units
from tests.contract.draw import COMBINATIONS, Case, cases, counts, each, random_plan
from tests.tiny import FAMILIES, HEADS, auto_heads


def count_flops(model, batch):
    """What torch's counter sees in one pass with eager attention."""
    model = copy.deepcopy(model)
    model.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(**batch)
    return counter.get_total_flops()


def check(case, plan):
    """Both costs of a plan, and those of the dense model, are those that are counted."""
    small = shrink(case.model, plan, case.sites)
    kept = counts(plan)
    said = params(case.sites)
    assert said({}) == sum(p.numel() for p in case.model.parameters())
    assert said(kept) == sum(p.numel() for p in small.parameters()) == size.parameters(small)
    said = flops(case.sites, work(case.model, case.batch))
    assert said({}) == count_flops(case.model, case.batch)
    assert said(kept) == count_flops(small, case.batch) == counted(small, case.batch)


@each(*COMBINATIONS)
@given(st.data())
@settings(max_examples=5)
def test_costs_are_those_counted(family, kinds, data):
    case = data.draw(cases(family))
    assume(case.of(*kinds))
    least = data.draw(st.integers(0, 1))
    check(case, random_plan(case.of(*kinds), data.draw(st.integers(0, 999)), least=least))


@pytest.mark.parametrize(
    ("family", "cls"), [(family, cls) for family in FAMILIES for cls in auto_heads(family)]
)
def test_costs_of_every_head(family, cls):
    case = Case(family, cls, 1, {"layers": 2})
    check(case, random_plan(case.sites, 5))


@each(("heads",), ("neurons",), ("sublayers",), ("heads", "queries", "neurons", "sublayers"))
def test_costs_where_everything_is_emptied(family, kinds):
    case = Case(family, HEADS[family].__name__, 1, {"layers": 2})
    sites = case.of(*kinds)
    check(case, Plan({name: torch.zeros(site.shape) for name, site in sites.items()}))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_costs_the_difference(family):
    case = Case(family, HEADS[family].__name__, 1, {"layers": 2})
    plan = random_plan(case.sites, 5)
    kept = counts(plan)
    for cost in (params(case.sites), flops(case.sites, work(case.model, case.batch))):
        for name in (name for name, site in case.sites.items() if site.even == 1):
            if kept[name] < case.sites[name].units:
                more = {**kept, name: kept[name] + 1}
                assert cost.step(name, kept) == cost(more) - cost(kept)


@pytest.mark.parametrize("family", FAMILIES)
def test_flops_of_one_sample_at_the_mean_length(family):
    case = Case(family, HEADS[family].__name__, 1, {"layers": 2})
    batch = single(case.batch, 11 if "input_ids" in case.batch else None)
    plan = random_plan(case.of("heads", "neurons"), 5)
    said = flops(case.sites, work(case.model, batch))
    assert said(counts(plan)) == count_flops(shrink(case.model, plan), batch)


def test_units_cost_one_each():
    sites = Case("bert", HEADS["bert"].__name__, 1, {}).of("heads", "neurons")
    plan = random_plan(sites, 5)
    assert units(sites)({}) == sum(site.units for site in sites.values())
    assert units(sites)(counts(plan)) == sum(counts(plan).values())


def test_zeros_in_weights_save_nothing():
    case = Case("bert", HEADS["bert"].__name__, 1, {})
    grid = case.sites.grid(r".*intermediate\.dense", (1, 1))
    plan = random_plan(grid, 5)
    small = shrink(case.model, plan, grid)
    assert params(grid)(counts(plan)) == sum(p.numel() for p in small.parameters())
    assert count_flops(small, case.batch) == count_flops(case.model, case.batch)
