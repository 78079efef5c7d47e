"""A masked model and the shrunk one answer alike, and unlike the dense one."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from prunus.anatomy import Anatomy
from prunus.edit import mask, shrink
from prunus.plan import Plan
from tests.contract.draw import COMBINATIONS, Case, cases, each, random_plan
from tests.tiny import FAMILIES, HEADS, answers, far

HEAD = {family: cls.__name__ for family, cls in HEADS.items()}
TOLERANCE = 1e-5


def check(case: Case, plan: Plan, sites: Anatomy | None = None) -> None:
    """Masked = shrunk, both unlike dense; and the model itself is as before."""
    sites = sites or case.sites
    before = copy.deepcopy(case.model.state_dict())
    dense = answers(case.model, case.batch)
    with mask(case.model, sites, plan):
        masked = answers(case.model, case.batch)
    shrunk = answers(shrink(case.model, plan, sites), case.batch)
    for name, answer in shrunk.items():
        assert far(answer, left(masked[name], plan, answer)) < TOLERANCE, name
    name, answer = next(iter(shrunk.items()))
    assert far(left(dense[name], plan, answer), answer) > 10 * TOLERANCE, name
    after = case.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def left(answer: Tensor, plan: Plan, like: Tensor) -> Tensor:
    """Hidden states without the channels that went, so that they compare with ``like``."""
    return answer if answer.shape == like.shape else answer[..., plan["stream:channels"]]


@each(*COMBINATIONS)
@given(st.data())
@settings(max_examples=6)
def test_masked_is_shrunk(family, kinds, data):
    case = data.draw(cases(family))
    assume(case.of(*kinds))
    check(case, random_plan(case.of(*kinds), data.draw(st.integers(0, 999))))


@each(("heads",), ("neurons",), ("sublayers",), ("heads", "queries", "neurons", "sublayers"))
def test_everything_emptied(family, kinds):
    case = Case(family, HEAD[family], 3, {"layers": 2})
    sites = case.of(*kinds)
    check(case, Plan({name: torch.zeros(site.shape) for name, site in sites.items()}))


@pytest.mark.parametrize("emptied", ["encoder.block.0:heads", "decoder.block.0.cross:heads"])
def test_t5_without_the_heads_that_make_the_position_bias(emptied):
    case = Case("t5", HEAD["t5"], 3, {"layers": 3})
    check(case, random_plan(case.of("heads"), 1) | {emptied: torch.zeros(4)})


@pytest.mark.parametrize("queries", ["110110000", "110110110"])
def test_queries_of_a_removed_group_may_stay_or_go(queries):
    case = Case("llama", HEAD["llama"], 3, {"heads": 9, "groups": 3, "layers": 2})
    plan = {
        "layers.1:heads": torch.tensor([True, True, False]),
        "layers.1:queries": torch.tensor([bit == "1" for bit in queries]),
    }
    check(case, Plan(plan))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_that_can_go_is_gone(family):
    case = Case(family, HEAD[family], 3, {"layers": 3})
    sites = case.of("layers")
    check(case, Plan({name: torch.zeros(1) for name in sites}))


@pytest.mark.parametrize("family", FAMILIES)
@given(st.data())
@settings(max_examples=4)
def test_grids_alone_and_with_what_is_removed(family, data):
    case = data.draw(cases(family))
    tile = data.draw(st.sampled_from([(1, 1), (1, 4), (4, 1), (4, 4)]))
    grids = case.sites.grid(r".*(query|q_proj|query_proj|q_lin|q|c_attn)", tile)
    seed = data.draw(st.integers(0, 999))
    check(case, random_plan(grids, seed), grids)
    both = case.sites | grids
    check(case, random_plan(both, seed), both)
