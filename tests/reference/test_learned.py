"""Learned masks against slow training loops that follow the papers' formulae step by step."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

from prunus.registry import build
from tests.training import course, net_data, pruned, trained

STEPS, WARMUP, COOLDOWN, FINAL = 12, 2, 3, 0.4
RATE, SCORES_RATE = 0.05, 0.3
BLOCK = 4
NAMES = ("wide.weight", "back.weight")


def progress(step):
    """Cubic, from 0 to 1 (block movement pruning's threshold schedule)."""
    if step <= WARMUP:
        return 0.0
    left = max(0.0, 1 - (step - WARMUP) / (STEPS - WARMUP - COOLDOWN))
    return 1 - left**3


def spread(values):
    return values.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)


def best(scores, count):
    """1 for the ``count`` highest, 0 for others."""
    order = sorted(range(len(scores)), key=lambda place: -float(scores.detach()[place]))
    mask = torch.zeros(len(scores))
    mask[order[:count]] = 1.0
    return mask


def slow(net, start, mask_of, penalty_of):
    """Plain gradient descent on weights and scores; masks are made anew in every forward pass."""
    weights = {name: own.detach().clone().requires_grad_() for name, own in net.named_parameters()}
    grids = {name: [size // BLOCK for size in weights[name].shape] for name in NAMES}
    scores = {
        name: torch.empty(grid).uniform_(-start, start).requires_grad_()
        for name, grid in grids.items()
    }
    torch.manual_seed(7)
    for step in range(STEPS):
        masked = dict(weights)
        masks = mask_of(scores, step)
        for name in NAMES:
            masked[name] = weights[name] * spread(masks[name])
        inputs, answers = net_data(step)
        loss = (functional_call(net, masked, (inputs,)) - answers).square().mean()
        loss = loss + sum(penalty_of(scores[name], step) for name in NAMES) / len(NAMES)
        learnt = [*weights.values(), *scores.values()]
        rates = [RATE] * len(weights) + [SCORES_RATE] * len(scores)
        with torch.no_grad():
            for own, slope, rate in zip(
                learnt, torch.autograd.grad(loss, learnt), rates, strict=True
            ):
                own -= slope * rate
    return weights, scores


def straight(hard, score):
    return hard.reshape(score.shape) + score - score.detach()


def fast(criterion, density, **budget):
    """The same training, pruned by the real thing; the model is settled."""
    tiny = trained("net")
    optimizer = torch.optim.SGD(tiny.model.parameters(), lr=RATE)
    schedule = {"warmup": WARMUP, "cooldown": COOLDOWN, "every": 1}
    own = course(
        tiny.of(f"{BLOCK}x{BLOCK}", "wide|back"), density,
        {"learning_rate": SCORES_RATE, **criterion}, schedule, **budget,
    )  # fmt: skip
    pruner = pruned(tiny, optimizer, own, steps=STEPS)
    torch.manual_seed(7)
    for step in range(STEPS):
        (tiny.loss(step) + pruner.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
    scores = {name: own.detach().clone() for name, own in pruner.gates.scores.items()}
    return tiny.model, scores, pruner.detach()


def check(found, expected, final):
    """Scores, weights and masks are those of the slow loop."""
    model, scores, plan = found
    weights, goal = expected
    masks = final(goal, STEPS)
    for name in NAMES:
        site = name.replace(".weight", ":grid")
        torch.testing.assert_close(scores[site], goal[name].detach(), rtol=1e-4, atol=1e-6)
        assert plan[site].equal(masks[name].reshape(plan[site].shape).detach() != 0)
        whole = weights[name] * spread(masks[name].reshape(plan[site].shape))
        torch.testing.assert_close(model.get_parameter(name), whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        model.get_parameter("image.weight"), weights["image.weight"], rtol=1e-4, atol=1e-6
    )


def no_penalty(score, step):
    return 0 * score.sum()


@pytest.mark.parametrize("scope", ["local", "global"])
def test_movement_keeps_the_highest_scores(scope):
    def masks(scores, step):
        density = FINAL + (1 - FINAL) * (1 - progress(step))
        if scope == "local":
            return {
                n: straight(best(s.flatten(), int(density * s.numel())), s)
                for n, s in scores.items()
            }
        every = torch.cat([s.flatten() for s in scores.values()])
        chosen = best(every, int(density * every.numel()))
        parts = chosen.split([s.numel() for s in scores.values()])
        return {n: straight(part, s) for part, (n, s) in zip(parts, scores.items(), strict=True)}

    expected = slow(trained("net").model, 0.0, masks, no_penalty)
    check(fast({"name": "movement"}, FINAL, scope=scope), expected, masks)


@pytest.mark.parametrize("regularizer", ["l1", "l0"])
def test_soft_movement_keeps_what_is_above_the_threshold(regularizer):
    tau, lam, shift = 0.45, 40.0, 2 / 3 * math.log(0.1 / 1.1)

    def masks(scores, step):
        found = {}
        for name, score in scores.items():
            above = (torch.sigmoid(score) > tau * progress(step)).float()
            least = int(0.005 * score.numel()) + 1
            if above.sum() < least:
                above = best(score.flatten(), least)
            found[name] = straight(above, score)
        return found

    def penalty(score, step):
        moved = score - shift if regularizer == "l0" else score
        return lam * progress(step) * torch.sigmoid(moved).mean()

    expected = slow(trained("net").model, 0.0, masks, penalty)
    criterion = {
        "name": "soft_movement", "threshold": tau, "penalty": lam, "regularizer": regularizer,
    }  # fmt: skip
    found = fast(criterion, 1.0)
    assert any(not mask.all() for mask in found[2].values())
    check(found, expected, masks)


def test_l0_draws_hard_concrete_masks():
    lam, start = 30.0, 4.0

    def masks(scores, step):
        found = {}
        for name, score in scores.items():
            logits = score
            if step < STEPS:
                u = torch.rand(score.shape).clamp(1e-6, 1 - 1e-6)
                logits = (u.log() - (1 - u).log() + score) / (2 / 3)
            found[name] = (torch.sigmoid(logits) * 1.2 - 0.1).clamp(0, 1)
        return found

    def penalty(score, step):
        return lam * torch.sigmoid(score - 2 / 3 * math.log(0.1 / 1.1)).mean()

    expected = slow(trained("net").model, start, masks, penalty)
    found = fast({"name": "l0", "penalty": lam, "scale": start, "init": "uniform"}, 1.0)
    ends = torch.cat([mask.flatten() for mask in masks(expected[1], STEPS).values()])
    assert (ends == 0).any()
    assert ((ends > 0) & (ends < 1)).any()
    check(found, expected, masks)


@pytest.mark.parametrize("init", ["constant", "uniform", "kaiming"])
def test_scores_begin_as_they_are_told_to(init):
    torch.manual_seed(0)
    scores = build("score", {"name": "movement", "init": init, "scale": 0.3}).start((40, 16))
    bound = 1 / math.sqrt(16) if init == "kaiming" else 0.3
    if init == "constant":
        assert (scores == 0.3).all()
    else:
        goal = nn.init.uniform_(torch.empty(40, 16), -bound, bound)
        assert 0.95 * bound < float(scores.abs().max()) <= bound
        assert float(scores.std()) == pytest.approx(float(goal.std()), rel=0.1)
