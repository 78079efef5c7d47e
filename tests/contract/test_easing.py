"""Blocks that go in parts, and blocks that a group lasso draws, while the network trains."""

import pytest
import torch

import prunus
from prunus import PrunusError
from prunus.site import expand

STEPS, EVERY, PARTS = 48, 8, 4


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 24), torch.nn.Linear(24, 3)
    )


def pruner_of(model, optimizer, pattern="4x4", density=0.25, score="snip_momentum", **drive):
    schedule = {"name": "linear", "every": EVERY}
    recipe = {
        "sites": {"grid": pattern},
        "score": score,
        "budget": {"density": density},
        "drive": {"name": "gradual", "schedule": schedule, **drive},
    }
    return prunus.gradual(model, optimizer, recipe, steps=STEPS)


def step(model, optimizer, place):
    x = torch.randn(8, 16, generator=torch.Generator().manual_seed(place))
    model(x).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def weights_of(model):
    return {f"{name}:grid": model.get_submodule(name).weight.detach() for name in ("0", "2")}


def gone(model):
    return sum(int((weight == 0).sum()) for weight in weights_of(model).values())


@pytest.mark.parametrize("score", ["snip_momentum", "block_mask", "magnitude", "random"])
@pytest.mark.parametrize("pattern", ["4x4", "4x1", "1xchannel"])
def test_what_is_doomed_goes_in_parts_and_all_in_the_end(score, pattern):
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    pruner = pruner_of(model, optimizer, pattern, score=score, progressive=PARTS)
    counts, plans = [], [pruner.plan]
    for place in range(STEPS):
        step(model, optimizer, place)
        counts.append(gone(model))
        plans.append(pruner.plan)
    grown = [place + 1 for place in range(1, STEPS) if counts[place] > counts[place - 1]]
    between = range(EVERY, STEPS, EVERY // PARTS)  # the last choice has no parts
    assert grown == [*between, STEPS]
    for name, stays in pruner.detach().items():
        site = pruner.sites[name]
        weight = weights_of(model)[name]
        assert not weight[expand(site.slices[0], ~stays, weight.shape)].any()
    # whole blocks are told as gone only when nothing of them is left
    whole = [sum(int(mask.sum()) for mask in plan.values()) for plan in plans]
    assert [place for place in range(1, STEPS + 1) if whole[place] < whole[place - 1]] == [
        *range(EVERY + EVERY * (PARTS - 1) // PARTS, STEPS, EVERY), STEPS,
    ]  # fmt: skip


def test_the_least_weights_go_first():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    pruner = pruner_of(model, optimizer, score="magnitude", progressive=2)
    before = {name: weight.clone() for name, weight in weights_of(model).items()}
    for place in range(EVERY):
        step(model, optimizer, place)
    for name, goal in pruner.tracks[0].easing.goals.items():
        site, weight = pruner.sites[name], weights_of(model)[name]
        doomed = expand(site.slices[0], ~goal, weight.shape)
        size, zero = before[name][doomed].abs(), weight[doomed] == 0
        if doomed.any():
            assert abs(int(zero.sum()) - doomed.sum() / 2) <= 1
            assert size[zero].max() <= size[~zero].min()


def test_a_training_goes_on_between_two_parts(tmp_path):
    def train(upto, model, optimizer, start=0):
        for place in range(start, upto):
            step(model, optimizer, place)

    whole = net()
    optimizer = torch.optim.SGD(whole.parameters(), lr=0.1, momentum=0.9)
    pruner = pruner_of(whole, optimizer, progressive=PARTS)
    half = EVERY + 3  # one part and a half behind the first choice
    train(half, whole, optimizer)
    pruner.save(tmp_path / "state")
    state = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    kept = optimizer.state_dict()
    again = net()
    again.load_state_dict(state)
    other = torch.optim.SGD(again.parameters(), lr=0.1, momentum=0.9)
    other.load_state_dict(torch.utils._pytree.tree_map(
        lambda own: own.clone() if isinstance(own, torch.Tensor) else own, kept))  # fmt: skip
    second = pruner_of(again, other, progressive=PARTS)
    second.load(tmp_path / "state")
    train(STEPS, whole, optimizer, half)
    train(STEPS, again, other, half)
    assert second.detach() == pruner.detach()
    for mine, theirs in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("pattern", ["1x1", "2:4"])
def test_single_weights_have_no_parts(pattern):
    model = net()
    with pytest.raises(PrunusError, match="progressive is for blocks"):
        pruner_of(model, torch.optim.SGD(model.parameters()), pattern, 0.5, progressive=PARTS)


def test_parts_need_steps():
    model = net()
    with pytest.raises(PrunusError, match="raise `every`"):
        pruner_of(model, torch.optim.SGD(model.parameters()), progressive=EVERY + 1)


def test_a_group_lasso_draws_blocks_until_pruning_is_over():
    plain, drawn = net(), net()
    for model, lasso in ((plain, 0.0), (drawn, 0.05)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        pruner = pruner_of(model, optimizer, density=1.0, lasso=lasso)
        for place in range(STEPS):
            step(model, optimizer, place)
        pruner.detach()
    norms = [sum(float(w.norm()) for w in weights_of(model).values()) for model in (plain, drawn)]
    assert norms[1] < 0.9 * norms[0]
    assert all(weight.isfinite().all() for weight in weights_of(drawn).values())


def test_a_group_lasso_needs_blocks():
    from tests.tiny import tiny

    model = tiny("bert")
    recipe = {"sites": "heads", "drive": {"name": "gradual", "lasso": 0.1}}
    with pytest.raises(PrunusError, match="group lasso draws blocks of one weight"):
        prunus.gradual(model, torch.optim.SGD(model.parameters()), recipe, steps=8)
