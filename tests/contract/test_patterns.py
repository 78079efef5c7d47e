"""Every pattern, criterion, schedule and scope in training: densities are met, zeros are zero."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from prunus.anatomy import anatomy
from prunus.errors import PrunusError
from prunus.select import Budget, params
from tests.tiny import tiny
from tests.training import (
    CURVES,
    check_density,
    check_removed,
    course,
    pruned,
    runs_kept,
    trained,
)

PATTERNS = (
    "1x1", "2:4", "1:4", "4:8", "3:5", "4x1", "1x4", "16x1", "32x32", "channelx1", "1xchannel",
    "heads", "neurons",
)  # fmt: skip
CRITERIA = (
    "magnitude", "gradient", "snip", "snip_momentum", "block_mask", "random",
    {"name": "snip", "reduce": "max"}, {"name": "snip_momentum", "reduce": "sum", "keep": 0.5},
)  # fmt: skip
SCOPES = ("global", "local")
MODELS = ("net", "bert", "gpt2")
OPTIMIZERS = {
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.1),
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.01, amsgrad=True),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.01, momentum=0.9, nesterov=True),
}
STEPS, EVERY, WARMUP, COOLDOWN = 11, 2, 3, 1


def follow(model, pattern, criterion, schedule, scope, optimizer, density):
    """Train and look after every step."""
    tiny = trained(model)
    sites = tiny.of(pattern)
    least = max(site.least / site.units for site in sites.values())
    density = max(density, least)
    times = {"warmup": WARMUP, "cooldown": COOLDOWN, "every": EVERY}
    own = course(sites, density, criterion, {"name": schedule, **times}, scope=scope)
    made = OPTIMIZERS[optimizer](tiny.model.parameters())
    pruner = pruned(tiny, made, own, steps=STEPS)
    last = (STEPS - COOLDOWN - WARMUP) // EVERY
    choices = [WARMUP] if schedule == "one_shot" else range(WARMUP, STEPS - COOLDOWN + 1, EVERY)
    way, plans = 0.0, [pruner.plan]
    for step in range(1, STEPS + 1):
        tiny.grad(step)
        made.step()
        made.zero_grad()
        if step in choices:
            way = 1.0 if schedule == "one_shot" else (step - WARMUP) // EVERY / last
        now = max(density, CURVES[schedule](way, density))
        check_density(pruner, own, now)
        assert check_removed(pruner) or now == 1 or pruner.plan == plans[0]
        plans.append(pruner.plan)
    for before, after in pairwise(plans):
        assert before & after == after
    assert pruner.detach() == plans[-1]
    return sites, plans[-1], density


def means_something(model, pattern, criterion, scope):
    """Blocks alone can be a whole weight, or have a largest value; the net has no heads."""
    if pattern in ("heads", "neurons"):
        return model != "net" and "max" not in str(criterion)
    return pattern != "32x32" or scope == "global"


COMBINATIONS = [
    (
        MODELS[(place + turn) % 3] if pattern not in ("heads", "neurons") else MODELS[1 + turn % 2],
        pattern,
        CRITERIA[(place + 4 * turn) % 8],
        sorted(CURVES)[(place + turn) % 6],
        SCOPES[(place + turn) % 2] if pattern != "32x32" else "global",
        sorted(OPTIMIZERS)[(place + 2 * turn) % 3],
    )
    for place, pattern in enumerate(PATTERNS)
    for turn in range(2)
]


def test_every_choice_is_among_the_combinations():
    axes = [set(map(str, axis)) for axis in zip(*COMBINATIONS, strict=True)]
    wanted = (MODELS, PATTERNS, CRITERIA, CURVES, SCOPES, OPTIMIZERS)
    assert all(means_something(*c[:3], c[4]) for c in COMBINATIONS)
    assert axes == [set(map(str, values)) for values in wanted]


@pytest.mark.parametrize(
    "combination", COMBINATIONS, ids=lambda c: "-".join(str(value) for value in c)
)
def test_each_pattern_in_training(combination):
    sites, plan, density = follow(*combination, density=0.3)
    total = sum(site.units for site in sites.values())
    assert sum(plan.counts().values()) < 0.75 * total
    for name, site in sites.items():
        if site.among and site.least == int(density * site.units):
            n = site.among[0]
            assert all(kept == min(n, length) for length, kept in runs_kept(site, plan[name]))


@given(
    st.sampled_from(MODELS), st.sampled_from(PATTERNS), st.sampled_from(CRITERIA),
    st.sampled_from(sorted(CURVES)), st.sampled_from(SCOPES), st.sampled_from(sorted(OPTIMIZERS)),
    st.integers(1, 99),
)  # fmt: skip
@settings(max_examples=40)
def test_any_pattern_criterion_schedule_and_scope(
    model, pattern, criterion, schedule, scope, optimizer, percent
):
    assume(means_something(model, pattern, criterion, scope))
    follow(model, pattern, criterion, schedule, scope, optimizer, percent / 100)


def test_two_of_four_is_exactly_two_of_every_four_inputs():
    for name in MODELS:
        tiny = trained(name)
        made = torch.optim.AdamW(tiny.model.parameters(), lr=0.01)
        sites = tiny.of("2:4", indivisible="error" if name == "net" else "skip")
        pruner = pruned(tiny, made, course(sites, 0.5), steps=8)
        for step in range(8):
            tiny.grad(step)
            made.step()
        pruner.detach()
        modules = dict(tiny.model.named_modules())
        for site in sites.values():
            weight = modules[site.reader].weight.detach()
            if type(modules[site.reader]).__name__ == "Conv1D":
                weight = weight.T  # GPT-2 has its inputs first
            rows = weight.movedim(1, -1)
            assert ((rows.unflatten(-1, (-1, 4)) != 0).sum(-1) == 2).all(), site.name


def test_a_convolution_in_blocks_goes_by_channels_of_one_position():
    tiny = trained()
    made = torch.optim.SGD(tiny.model.parameters(), lr=0.1)
    pruner = pruned(tiny, made, course(tiny.of("4x2"), 0.5, "magnitude"), steps=8)
    for step in range(8):
        tiny.grad(step)
        made.step()
    there = tiny.model.image.weight.detach().reshape(4, 4, 4, 2, 9) != 0
    blocks = there.movedim(1, 2).flatten(2, 3)
    assert torch.equal(blocks.all(2), blocks.any(2))
    assert 0 < blocks.all(2).float().mean() < 1
    assert torch.equal(blocks.any(2).reshape(4, 4, 9), pruner.plan["image:grid"])


# What a budget can say


def test_rules_floors_and_ceilings_fall_along_the_schedule():
    tiny = trained()
    rules = (
        {"match": "wide", "density": 0.5, "scope": "local"},
        {"match": "back", "floor": 0.6},
        {"match": "sound", "ceiling": 0.1},
    )
    own = course(
        tiny.of("1x1"), 0.3, "magnitude", {"name": "linear", "warmup": 0, "cooldown": 0},
        rules=rules,
    )  # fmt: skip
    made = torch.optim.SGD(tiny.model.parameters(), lr=0.1)
    pruner = pruned(tiny, made, own, steps=10)
    for step in range(1, 11):
        tiny.grad(step)
        made.step()
        share = {name: kept / of for name, (kept, of) in pruner.plan.kept().items()}
        way = step // 2 / 5
        assert share["wide:grid"] == pytest.approx(1 - 0.5 * way, abs=0.003)
        assert share["sound:grid"] <= 1 - 0.9 * way + 1e-9
        assert share["back:grid"] >= 0.6
        rest = [pruner.plan.kept()[f"{name}:grid"] for name in ("image", "sound", "back")]
        kept, of = map(sum, zip(*rest, strict=True))
        assert kept == int(of * (1 - 0.7 * way) + 1e-9)
    assert pruner.detach()


def test_courses_go_their_own_ways():
    tiny = trained()
    one = course(tiny.of("4x1", "image|sound"), 0.2, "magnitude", {"name": "one_shot", "warmup": 0})
    other = course(tiny.of("2:4", "wide|back"), 0.5, "snip_momentum")
    made = torch.optim.AdamW(tiny.model.parameters(), lr=0.01)
    pruner = pruned(tiny, made, one, other, steps=12)
    check_density(pruner, one, 0.2)
    check_density(pruner, other, 1.0)
    for step in range(1, 13):
        tiny.grad(step)
        made.step()
        check_density(pruner, one, 0.2)
        check_removed(pruner)
    check_density(pruner, other, 0.5)
    assert pruner.detach().keys() == tiny.of("4x1").keys()


def test_a_site_of_two_courses_is_told():
    tiny = trained()
    made = torch.optim.SGD(tiny.model.parameters(), lr=0.1)
    own = course(tiny.of("4x1"))
    with pytest.raises(PrunusError, match="'back:grid' would be pruned twice"):
        pruned(tiny, made, own, course(tiny.of("2:4"), 0.5))


@pytest.mark.parametrize(
    ("pattern", "budget", "told"),
    [
        ("2:4", {"density": 0.3}, r"density 0.3 allows .* but the floors alone"),
        ("2:4", {"density": 0.3, "scope": "local"}, r"density 0.3 allows .* but the floors alone"),
        ("4x1", {"density": 0.3, "floor": 0.4}, r"density 0.3 allows .* but the floors alone"),
        (
            "4x1",
            {"density": 0.9, "rules": ({"match": "wide", "density": 0.1, "floor": 0.2},)},
            r"density 0.1 allows .* but the floors alone",
        ),
        ("4x1", {"density": 0.9, "rules": ({"match": "nothing"},)}, "matches no site"),
        ("4x1", {"density": 0.9, "floor": 0.4, "ceiling": 0.3}, "is above the ceiling"),
        ("2:4", {"density": 0.9, "metric": "params"}, "are chosen under metric: weights"),
    ],
)
def test_what_cannot_be_reached_is_told_before_the_first_step(pattern, budget, told):
    tiny = trained()
    made = torch.optim.SGD(tiny.model.parameters(), lr=0.1)
    own = course(tiny.of(pattern))
    budget = Budget(**{"metric": "weights", **budget})
    cost = params(own.sites) if budget.metric == "params" else own.cost
    own = replace(own, budget=budget, cost=cost)
    with pytest.raises(PrunusError, match=told):
        pruned(tiny, made, own)


def test_an_unknown_amount_is_told_before_the_first_step():
    tiny = trained()
    made = torch.optim.SGD(tiny.model.parameters(), lr=0.1)
    own = replace(course(tiny.of("4x1")), budget=Budget(max_loss="1pt"))
    with pytest.raises(PrunusError, match="max_loss"):
        pruned(tiny, made, own)


# Which weights


def test_a_layer_that_a_pattern_does_not_divide():
    tiny = trained()
    with pytest.raises(PrunusError, match=r"image.weight has 16 outputs and 8 inputs.*`pad`"):
        tiny.of("1x16", indivisible="error")
    assert list(tiny.of("1x16", indivisible="skip")) == ["sound:grid", "wide:grid"]
    assert tiny.of("1x16", indivisible="pad")["image:grid"].shape == (16, 1, 9)
    with pytest.raises(PrunusError, match="divides none of the weights"):
        tiny.of("7x7", indivisible="skip")


def test_the_head_is_left_out_unless_asked_for():
    tiny = trained()
    assert "head:grid" not in tiny.of("1x1")
    assert "head:grid" in tiny.of("1x1", head=True)
    with pytest.raises(PrunusError, match=r"the head \(head\) is left out, `head: true` takes it"):
        tiny.sites.grid("head", "1x1")


def test_types_of_modules():
    tiny = trained()
    assert list(tiny.of("1x1", types=["Conv1d", "Conv1D"])) == ["sound:grid"]
    with pytest.raises(PrunusError, match="Did you mean 'Conv2d'"):
        tiny.of("1x1", types=["Linear", "Conv2D"])
    with pytest.raises(PrunusError, match="no module of type Conv1D"):
        tiny.of("1x1", types=["Conv1D"])


def test_the_ceiling_of_a_budget_falls_along_the_schedule_too():
    tiny = trained()
    schedule = {"name": "linear", "warmup": 0, "cooldown": 0}
    own = course(tiny.of("1x1"), 0.3, "magnitude", schedule, ceiling=0.4)
    made = torch.optim.SGD(tiny.model.parameters(), lr=0.0)
    pruner = pruned(tiny, made, own, steps=10)
    for step in range(1, 11):
        tiny.grad(step)
        made.step()
        way = step // 2 / 5
        shares = [kept / of for kept, of in pruner.plan.kept().values()]
        assert max(shares) <= 1 - 0.6 * way + 1e-9
        kept, of = map(sum, zip(*pruner.plan.kept().values(), strict=True))
        assert kept == int(of * (1 - 0.7 * way) + 1e-9)


def test_the_head_is_spared_unless_it_is_asked_for():
    sites = anatomy(tiny("bert", "BertForSequenceClassification"))
    assert sites.grid(".*", "1x1").spared == ["classifier"]
    assert sites.grid(".*", "1x1", head=True).spared == []
    assert sites.of("heads").spared == []
