"""A pruning that was stopped at any step and goes on ends as if it had never been stopped."""

import random
from copy import deepcopy

import pytest
import torch

from prunus.errors import PrunusError
from tests.training import check_removed, course, pruned, trained

STEPS = 14
OPTIMIZERS = {
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.01),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.01, momentum=0.9),
}
RUNS = [
    ({"pattern": "4x1", "criterion": "snip_momentum", "schedule": "cubic"}, "adamw"),
    ({"pattern": "2:4", "criterion": "block_mask", "schedule": "linear"}, "sgd"),
    ({"pattern": "1x1", "criterion": "gradient", "schedule": "exponential"}, "adamw"),
    ({"pattern": "channelx1", "criterion": "magnitude", "schedule": "one_shot"}, "sgd"),
    ({"pattern": "4x4", "criterion": "movement", "schedule": "cubic"}, "adamw"),
    ({"pattern": "1x1", "criterion": "l0", "schedule": "linear"}, "sgd"),
]  # fmt: skip


def begin(settings, optimizer, **more):
    """A fresh model, optimizer and pruner of two courses."""
    tiny = trained("net")
    made = OPTIMIZERS[optimizer](tiny.model.parameters())
    one = course(
        tiny.of(settings["pattern"], "image|wide|back"), 0.5, settings["criterion"],
        {"name": settings["schedule"], "warmup": 3, "cooldown": 1, "every": 2},
    )  # fmt: skip
    other = course(tiny.of("4x1", "sound"), 0.25, "snip_momentum", {"name": "cube", "every": 3})
    return tiny, made, pruned(tiny, made, one, other, steps=STEPS, **more)


def go_on(tiny, optimizer, pruner, start, end=STEPS):
    for step in range(start, end):
        torch.manual_seed(step)  # of what l0 draws
        (tiny.loss(step) + pruner.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
        if not pruner.gates.sites:
            check_removed(pruner)


@pytest.mark.parametrize(("settings", "optimizer"), RUNS, ids=lambda run: str(run))
@pytest.mark.parametrize("regrow", [False, True], ids=["", "regrow"])
def test_it_ends_as_if_it_had_never_been_stopped(settings, optimizer, regrow, tmp_path):
    tiny, made, pruner = begin(settings, optimizer, regrow=regrow)
    go_on(tiny, made, pruner, 0)
    plan, weights = pruner.detach(), tiny.model.state_dict()
    stops = random.Random(str(settings)).sample(range(STEPS + 1), 5)
    for stop in stops:  # 20 in all, and as many with regrow
        first, first_made, first_pruner = begin(settings, optimizer, regrow=regrow)
        go_on(first, first_made, first_pruner, 0, stop)
        first_pruner.save(tmp_path / "pruner.safetensors")
        states = deepcopy((first.model.state_dict(), first_made.state_dict()))
        go_on(first, first_made, first_pruner, stop, min(stop + 2, STEPS))  # lost

        again, again_made, again_pruner = begin(settings, optimizer, regrow=regrow)
        again.model.load_state_dict(states[0])
        again_made.load_state_dict(states[1])
        again_pruner.load(tmp_path / "pruner.safetensors")
        assert again_pruner.done == stop
        go_on(again, again_made, again_pruner, stop)
        assert again_pruner.detach() == plan
        for name, found in again.model.state_dict().items():
            assert torch.equal(found, weights[name]), (stop, name)


def test_a_state_in_memory_is_as_good():
    tiny, made, pruner = begin(*RUNS[0])
    go_on(tiny, made, pruner, 0, 7)
    state = deepcopy((pruner.state_dict(), tiny.model.state_dict(), made.state_dict()))
    go_on(tiny, made, pruner, 7)
    again, again_made, again_pruner = begin(*RUNS[0])
    again_pruner.load_state_dict(state[0])
    again.model.load_state_dict(state[1])
    again_made.load_state_dict(state[2])
    go_on(again, again_made, again_pruner, 7)
    assert again_pruner.detach() == pruner.detach()


def test_a_loaded_state_is_held_at_once():
    tiny, made, pruner = begin(*RUNS[0])
    go_on(tiny, made, pruner, 0)
    *_, fresh = begin(*RUNS[0])
    fresh.load_state_dict(pruner.state_dict())
    assert fresh.plan == pruner.plan
    assert check_removed(fresh) > 0


def other_state(**changes):
    tiny = trained("net")
    made = OPTIMIZERS["adamw"](tiny.model.parameters())
    settings = {"pattern": "4x1", "match": ".*", "criterion": "snip_momentum", **changes}
    sites = tiny.of(settings["pattern"], settings["match"])
    pruner = pruned(tiny, made, course(sites, 0.5, settings["criterion"]))
    tiny.grad()
    made.step()
    return pruner


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"match": "wide|back"}, "only one of them has 'mask/image:grid'"),
        ({"pattern": "2:4"}, r"site 'image:grid' had a grid of \(4, 8, 9\), and now has one of"),
        ({"pattern": "1x4"}, r"site 'image:grid' had a grid of \(4, 8, 9\), and now has one of"),
        ({"criterion": "block_mask"}, "only one of them has 'trace/snip/back:grid'"),
        ({"criterion": "magnitude"}, "only one of them has 'trace/snip/back:grid'"),
    ],
)
def test_the_state_of_another_pruning_is_told(changes, told):
    with pytest.raises(PrunusError, match=told):
        other_state(**changes).load_state_dict(other_state().state_dict())


def test_a_state_that_is_not_there_is_told(tmp_path):
    with pytest.raises(PrunusError, match=r"pruner.safetensors: there is no state of a pruning"):
        other_state().load(tmp_path / "pruner.safetensors")


def test_a_file_that_is_no_state_is_told(tmp_path):
    (tmp_path / "pruner.safetensors").write_text("nonsense")
    with pytest.raises(PrunusError, match=r"pruner.safetensors: not a readable state"):
        other_state().load(tmp_path / "pruner.safetensors")
