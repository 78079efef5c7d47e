"""Masks in the forward pass while a network learns: what they leave is what was trained."""

import pytest
import torch

from prunus.adapt import adapted, attach, freeze, trained_parameters
from prunus.anatomy import anatomy, plain
from prunus.edit import shrink
from prunus.errors import PrunusError
from tests.tiny import batch_of, far, outputs
from tests.training import Tiny, course, pruned, trained

LEARNED = {
    "movement": {"name": "movement", "learning_rate": 0.3},
    "soft": {"name": "soft_movement", "learning_rate": 0.3, "penalty": 3.0, "threshold": 0.4},
    "l0": {"name": "l0", "learning_rate": 0.3, "penalty": 3.0, "scale": 1.0},
}
ADAPTERS = {
    "splopa": {"name": "splopa", "block": "4x4", "prototypes": 3, "init_range": 0.2},
    "lora": {"name": "lora", "rank": 2, "init_range": 0.2},
}
PATTERNS = ("4x4", "channelx1", "1xchannel", "4x1", "2:4", "heads", "neurons")
SCHEDULE = {"warmup": 2, "cooldown": 2, "every": 1}


def sites_of(tiny: Tiny, pattern: str):
    if pattern in ("heads", "neurons"):
        return anatomy(tiny.model).of(pattern)
    return plain(tiny.model).grid(r".*layer.*(query|dense)", pattern)


def learn(tiny, own, steps=10, rate=0.05):
    """Train; the model as its gates have it in evaluation, and as it is when they are settled."""
    optimizer = torch.optim.SGD([p for p in tiny.model.parameters() if p.requires_grad], lr=rate)
    pruner = pruned(tiny, optimizer, own, steps=steps)
    for step in range(steps):
        (tiny.loss(step) + pruner.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
    tiny.model.eval()
    gated = outputs(tiny.model, batch_of(tiny.model))
    return gated, pruner.detach()


@pytest.mark.parametrize("adapter", [None, *ADAPTERS])
@pytest.mark.parametrize("criterion", [*LEARNED, "magnitude"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_settled_answers_as_the_gates_did(pattern, criterion, adapter):
    tiny = trained("bert")
    if adapter is not None:
        attach(tiny.model, ADAPTERS[adapter])
        freeze(tiny.model)
    sites = sites_of(tiny, pattern)
    dense = outputs(tiny.model, batch_of(tiny.model))
    own = course(sites, 0.5, LEARNED.get(criterion, criterion), SCHEDULE)
    gated, plan = learn(tiny, own)
    settled = outputs(tiny.model, batch_of(tiny.model))
    torch.testing.assert_close(settled, gated, rtol=1e-4, atol=1e-5)
    assert far(settled, dense)
    prices = {name: own.cost.price(name) for name in plan}
    kept = sum(prices[name] * count for name, count in plan.counts().items())
    of = sum(prices[name] * mask.numel() for name, mask in plan.items())
    assert of / 2 - max(prices.values()) < kept <= of / 2
    small = shrink(tiny.model, plan, sites)
    torch.testing.assert_close(outputs(small, batch_of(small)), settled, rtol=1e-4, atol=1e-5)
    assert not hasattr(tiny.model, "mask_scores")
    fits = ("heads", "neurons") if adapter == "lora" else ("4x4",)
    assert bool(adapted(tiny.model)) == (adapter is not None and pattern in fits)


@pytest.mark.parametrize("criterion", ["movement", "soft"])
def test_nothing_changes_before_the_schedule_begins(criterion):
    tiny, twin = trained("bert"), trained("bert")
    sites = sites_of(tiny, "4x4")
    before = outputs(tiny.model, batch_of(tiny.model))
    weights = {name: own.clone() for name, own in tiny.model.state_dict().items()}
    optimizer = torch.optim.SGD(tiny.model.parameters(), lr=0.05)
    own = course(sites, 0.1, LEARNED[criterion], {"warmup": 3, "every": 1})
    pruner = pruned(tiny, optimizer, own, steps=8)
    assert trained_parameters(tiny.model) == trained_parameters(twin.model) + sum(
        site.units for site in sites.values()
    )
    assert torch.equal(outputs(tiny.model, batch_of(tiny.model)), before)
    for name, own in weights.items():
        assert torch.equal(tiny.model.state_dict()[name], own), name
    plain_optimizer = torch.optim.SGD(twin.model.parameters(), lr=0.05)
    for step in range(3):
        for one, made in ((tiny, optimizer), (twin, plain_optimizer)):
            one.grad(step)
            made.step()
            made.zero_grad()
        assert all(mask.all() for mask in pruner.masks.values())
    for name, own in twin.model.state_dict().items():
        assert torch.equal(tiny.model.state_dict()[name], own), name


def test_a_masked_unit_comes_back_as_it_was():
    """Movement's scores may rise again: weights wait behind the mask."""
    tiny = trained("net")
    optimizer = torch.optim.SGD(tiny.model.parameters(), lr=0.0)
    own = course(tiny.of("4x4", "wide"), 0.5, LEARNED["movement"], {"warmup": 1, "every": 1})
    pruner = pruned(tiny, optimizer, own, steps=6)
    before, gone, back = tiny.model.get_parameter("wide.weight").clone(), 0, 0
    (name,), last = pruner.masks, pruner.masks["wide:grid"]
    for step in range(6):
        tiny.grad(step)
        with torch.no_grad():
            pruner.gates.scores[name].grad.copy_(torch.randn(last.shape))
        optimizer.step()
        optimizer.zero_grad()
        gone += int((last & ~pruner.masks[name]).sum())
        back += int((~last & pruner.masks[name]).sum())
        last = pruner.masks[name]
        assert torch.equal(tiny.model.get_parameter("wide.weight"), before)
    assert gone
    assert back
    assert len(optimizer.param_groups) == 2
    assert optimizer.param_groups[1]["lr"] == LEARNED["movement"]["learning_rate"]


def test_a_penalty_that_nobody_adds_is_told():
    tiny = trained("net")
    optimizer = torch.optim.SGD(tiny.model.parameters(), lr=0.1)
    pruned(tiny, optimizer, course(tiny.of("4x4", "wide"), 1.0, LEARNED["l0"]))
    tiny.grad(0)
    optimizer.step()
    with pytest.raises(PrunusError, match=r"nobody added it to the loss.*pruner.penalty\(\)"):
        optimizer.step()


def test_the_penalty_rests_where_the_budget_is_met():
    tiny = trained("net")
    optimizer = torch.optim.SGD(tiny.model.parameters(), lr=0.1)
    soft = {"name": "soft_movement", "penalty": 1000.0, "learning_rate": 1.0, "threshold": 0.4}
    own = course(tiny.of("4x4", "wide|back"), 0.5, soft, {"warmup": 1, "cooldown": 4, "every": 1})
    pruner = pruned(tiny, optimizer, own, steps=14)
    met = []
    for step in range(14):
        (tiny.loss(step) + pruner.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
        met.append(float(pruner.penalty().detach()) == 0)
    assert not met[1]
    assert met[3]
    kept = torch.cat([mask.flatten() for mask in pruner.detach().values()])
    assert kept.sum() == kept.numel() // 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lock": True}, "lock: masks that are learnt"),
        ({"lasso": 0.1}, "lasso: masks that are learnt"),
        ({"progressive": 2}, "progressive: masks that are learnt"),
    ],
)
def test_what_is_for_weights_that_become_zero_is_told(settings, message):
    tiny = trained("net")
    optimizer = torch.optim.SGD(tiny.model.parameters(), lr=0.1)
    own = course(tiny.of("4x4", "wide"), 0.5, LEARNED["movement"], {"every": 2})
    with pytest.raises(PrunusError, match=message):
        pruned(tiny, optimizer, own, **settings)


def test_scores_cannot_be_learnt_before_the_first_step():
    tiny = trained("net")
    own = course(tiny.of("4x4", "wide"), 0.5, "movement", {"name": "one_shot", "warmup": 0})
    with pytest.raises(PrunusError, match="none before the first step"):
        pruned(tiny, torch.optim.SGD(tiny.model.parameters(), lr=0.1), own)
