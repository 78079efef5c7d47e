"""The pruner inside of real trainings: accumulation, clipping, precision, scaling, wrappers."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from prunus.anatomy import plain
from prunus.drive._pruner import Pruner
from prunus.errors import PrunusError
from tests.distributed import pruner as distributed
from tests.training import check_density, check_removed, course, pruned, removed, trained


def adam(tiny, **settings):
    return torch.optim.AdamW(tiny.model.parameters(), lr=0.01, **settings)


def train(tiny, optimizer, pruner, steps=12, batches=1):
    """Plain training, each step of so many batches, whose gradients are averaged."""
    for step in range(steps):
        for part in range(batches):
            (tiny.loss(batches * step + part) / batches).backward()
        optimizer.step()
        optimizer.zero_grad()
        check_removed(pruner)
    return pruner.plan


def test_batches_that_make_one_step_count_once():
    small, large = trained("net"), trained("net")
    one, other = adam(small), adam(large)
    of_small = pruned(small, one, course(small.of("4x1")))
    of_large = pruned(large, other, course(large.of("4x1")))
    for step in range(12):
        for part in range(3):
            (small.loss(3 * step + part) / 3).backward()
        loss = sum(large.loss(3 * step + part) for part in range(3)) / 3
        loss.backward()
        for optimizer in (one, other):
            optimizer.step()
            optimizer.zero_grad()
        assert of_small.done == of_large.done == step + 1
        assert of_small.plan == of_large.plan
    check_density(of_small, of_small.tracks[0].course, 0.3)
    for ours, theirs in zip(small.model.parameters(), large.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_clipping_sees_the_gradients_that_count():
    tiny = trained("net")
    optimizer = adam(tiny)
    pruner = pruned(tiny, optimizer, course(tiny.of("4x1"), 0.1, schedule={"warmup": 1}))
    train(tiny, optimizer, pruner)
    tiny.grad(20)
    gone = removed(pruner)
    ours = {name: weight.grad.clone() for name, weight in tiny.model.named_parameters()}
    norm = nn.utils.clip_grad_norm_(tiny.model.parameters(), 1e9)
    pruner.detach()
    tiny.model.zero_grad()
    tiny.grad(20)
    whole = torch.stack([w.grad.norm() for w in tiny.model.parameters()]).norm()
    for name, weight in tiny.model.named_parameters():
        kept = weight.grad.masked_fill(gone[name], 0) if name in gone else weight.grad
        assert torch.equal(kept, ours[name])
        weight.grad = kept
    expected = torch.stack([w.grad.norm() for w in tiny.model.parameters()]).norm()
    torch.testing.assert_close(norm, expected)
    assert norm < 0.999 * whole


@pytest.mark.parametrize("name", ["net", "bert"])
def test_mixed_precision(name):
    tiny = trained(name)
    optimizer = adam(tiny)
    pruner = pruned(tiny, optimizer, course(tiny.of("2:4", indivisible="skip"), 0.5))
    for step in range(12):
        with torch.autocast("cpu", torch.bfloat16):
            loss = tiny.loss(step)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        check_removed(pruner)
    check_density(pruner, pruner.tracks[0].course, 0.5)


def test_a_model_in_half_precision():
    tiny = trained("net")
    tiny.model.bfloat16()
    data = torch.randn(4, 8, 6, 6).bfloat16()
    optimizer = torch.optim.SGD(tiny.model.parameters(), lr=0.1, momentum=0.9)
    pruner = pruned(tiny, optimizer, course(tiny.of("4x1"), 0.3))
    for _ in range(12):
        tiny.model(data).float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        check_removed(pruner)
    check_density(pruner, pruner.tracks[0].course, 0.3)


@pytest.mark.parametrize("fused", [False, True], ids=["skipped by the scaler", "fused"])
@pytest.mark.parametrize("unscaled", [False, True], ids=["", "unscaled before"])
def test_a_step_that_a_scaler_skips_does_not_count(fused, unscaled):
    tiny, plain_ = trained("net"), trained("net")
    optimizer, other = adam(tiny, fused=fused), adam(plain_, fused=fused)
    pruner = pruned(tiny, optimizer, course(tiny.of("4x1")), steps=10)
    reference = pruned(plain_, other, course(plain_.of("4x1")), steps=10)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=3)
    for step in range(13):
        broken = step in (2, 5, 11)
        scaler.scale(tiny.loss(step)).backward()
        if broken:
            tiny.model.wide.weight.grad[0, 0] = torch.inf
        if unscaled:
            scaler.unscale_(optimizer)
        before = pruner.done, pruner.plan
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        if broken:
            assert (pruner.done, pruner.plan) == before
            continue
        plain_.grad(step)
        other.step()
        other.zero_grad()
        check_removed(pruner)
        assert pruner.done == reference.done
        assert pruner.plan == reference.plan
    for key, value in reference.state_dict().items():
        torch.testing.assert_close(pruner.state_dict()[key], value, rtol=1e-3, atol=1e-5)
    assert pruner.detach() == reference.detach()


def test_accelerate():
    accelerate = pytest.importorskip("accelerate")
    tiny, plain_ = trained("bert"), trained("bert")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, optimizer = accelerator.prepare(tiny.model, adam(tiny))
    pruner = Pruner(model, optimizer, [course(tiny.of("heads"), 0.5)], 6)
    other = adam(plain_)
    reference = pruned(plain_, other, course(plain_.of("heads"), 0.5), steps=6)
    for step in range(12):
        with accelerator.accumulate(model):
            accelerator.backward(tiny.loss(step))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1e9)
            optimizer.step()
            optimizer.zero_grad()
        check_removed(pruner)
    train(plain_, other, reference, steps=6, batches=2)
    assert pruner.done == 6
    assert pruner.detach() == reference.detach()


def test_what_wraps_the_optimizers_step():
    tiny = trained("net")
    optimizer = adam(tiny)
    pruner = pruned(tiny, optimizer, course(tiny.of("4x1")))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    for step in range(12):
        tiny.grad(step)
        optimizer.step()
        scheduler.step()
    assert pruner.done == 12
    check_removed(pruner)


def test_a_step_with_a_closure():
    tiny = trained("net")
    optimizer = torch.optim.SGD(tiny.model.parameters(), lr=0.01, momentum=0.9)
    pruner = pruned(tiny, optimizer, course(tiny.of("4x1"), criterion="magnitude"))
    for step in range(12):
        optimizer.zero_grad()
        optimizer.step(lambda step=step: tiny.grad(step))
        check_removed(pruner)
    check_density(pruner, pruner.tracks[0].course, 0.3)


def test_a_model_in_eval_is_pruned_alike():
    tiny, other = trained("bert"), trained("bert")
    other.model.train()
    for dropout in (m for m in other.model.modules() if isinstance(m, nn.Dropout)):
        dropout.p = 0.0
    plans = []
    for own in (tiny, other):
        optimizer = adam(own)
        plans.append(train(own, optimizer, pruned(own, optimizer, course(own.of("4x1")))))
    assert plans[0] == plans[1]


class Tied(nn.Module):
    """Two linear layers with one weight."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.other, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.other.weight = self.one.weight

    def forward(self, x):
        return self.head(self.other(self.one(x).tanh()).tanh())


def test_tied_weights_are_one_site():
    model = Tied()
    sites = plain(model).grid(".*", "1x1")
    assert list(sites) == ["one:grid"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    own = course(sites, 0.25)
    pruner = Pruner(model, optimizer, [own], 12)
    for _ in range(12):
        model(torch.randn(4, 8)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        check_removed(pruner)
    check_density(pruner, own, 0.25)
    assert int((model.other.weight != 0).sum()) == 16


# What does not learn


def test_frozen_weights_go_by_magnitude():
    tiny = trained("net")
    tiny.model.wide.weight.requires_grad_(False)
    optimizer = adam(tiny)
    own = course(tiny.of("4x1"), criterion="magnitude")
    pruner = pruned(tiny, optimizer, own)
    train(tiny, optimizer, pruner)
    check_density(pruner, own, 0.3)
    assert not tiny.model.wide.weight.all()


def test_frozen_weights_have_no_gradients_to_go_by():
    tiny = trained("net")
    tiny.model.wide.weight.requires_grad_(False)
    with pytest.raises(PrunusError, match="the weights of site 'wide:grid' are frozen"):
        pruned(tiny, adam(tiny), course(tiny.of("4x1")))


def test_unused_weights_are_told():
    tiny = trained("net")
    tiny.model.unused = nn.Linear(8, 8)
    tiny.model.head = tiny.model._modules.pop("head")  # last
    optimizer = adam(tiny)
    pruner = pruned(tiny, optimizer, course(tiny.of("4x1")))
    with pytest.raises(PrunusError, match="'unused:grid': its weights got no gradient"):
        train(tiny, optimizer, pruner)


def test_an_optimizer_of_another_model_is_told():
    tiny, other = trained("net"), trained("net")
    with pytest.raises(PrunusError, match="the optimizer trains none of the weights"):
        pruned(tiny, adam(other), course(tiny.of("4x1")))


def test_a_model_that_wraps_the_one_that_is_meant_is_told():
    tiny = trained("net")
    with pytest.raises(PrunusError, match="not of one that wraps it"):
        Pruner(nn.Sequential(tiny.model), adam(tiny), [course(tiny.of("4x1"))], 12)


def test_what_is_no_optimizer_is_told():
    tiny = trained("net")
    with pytest.raises(PrunusError, match="Net is no optimizer"):
        pruned(tiny, tiny.model, course(tiny.of("4x1")))


# Criteria and times


@pytest.mark.parametrize("criterion", ["gradient", "snip", "snip_momentum", "block_mask"])
def test_gradients_before_the_first_step_are_told(criterion):
    tiny = trained("net")
    own = course(tiny.of("4x1"), 0.3, criterion, {"name": "one_shot", "warmup": 0})
    with pytest.raises(PrunusError, match="none before the first step: give the schedule a warmup"):
        pruned(tiny, adam(tiny), own)


def test_one_shot_by_magnitude_needs_no_step():
    tiny = trained("net")
    own = course(tiny.of("4x1"), 0.3, "magnitude", {"name": "one_shot", "warmup": 0})
    pruner = pruned(tiny, adam(tiny), own)
    check_density(pruner, own, 0.3)
    assert check_removed(pruner)
    assert pruner.detach() == pruner.plan


@pytest.mark.parametrize("criterion", ["fisher", "obs", "fluctuation", "taylor"])
def test_a_criterion_that_needs_a_pass_is_told(criterion):
    with pytest.raises(PrunusError, match=r"of a pass over data; in training use movement"):
        course(trained("net").of("4x1"), criterion=criterion)


def test_channels_are_told():
    with pytest.raises(PrunusError, match="channels cross norms"):
        course(trained("bert").sites.of("channels"))


def test_a_training_that_ends_early_is_told():
    tiny = trained("net")
    optimizer = adam(tiny)
    pruner = pruned(tiny, optimizer, course(tiny.of("4x1")))
    train(tiny, optimizer, pruner, steps=9)
    with pytest.raises(PrunusError, match="ended after 9 steps, but pruning goes on until step 10"):
        pruner.detach()


def test_the_last_choice_is_early_enough():
    tiny = trained("net")
    optimizer = adam(tiny)
    own = course(tiny.of("4x1"))
    pruner = pruned(tiny, optimizer, own)
    train(tiny, optimizer, pruner, steps=10)
    plan = pruner.detach()
    check_density(pruner, own, 0.3)
    optimizer.step()
    assert pruner.done == 10
    tiny.grad(0)
    assert tiny.model.wide.weight.grad.masked_select(removed(pruner)["wide.weight"]).any()
    assert plan == pruner.plan


# Locks and what may come back


def test_a_lock_keeps_the_zeros_of_a_checkpoint():
    tiny = trained("net")
    zeros = torch.rand(24, 16) < 0.4
    with torch.no_grad():
        tiny.model.wide.weight.masked_fill_(zeros, 0)
    optimizer = adam(tiny)
    own = course(tiny.of("1x1", "wide|back"), 0.6)
    pruner = pruned(tiny, optimizer, own, lock=True)
    assert torch.equal(pruner.plan["wide:grid"], ~zeros)
    for step in range(12):
        tiny.grad(step)
        optimizer.step()
        optimizer.zero_grad()
        check_removed(pruner)
        assert not tiny.model.wide.weight[zeros].any()
    check_density(pruner, own, 0.6)


def test_a_lock_that_removes_nothing_more():
    tiny = trained("net")
    zeros = torch.rand(24, 16) < 0.4
    with torch.no_grad():
        tiny.model.wide.weight.masked_fill_(zeros, 0)
    optimizer = adam(tiny)
    pruner = pruned(tiny, optimizer, course(tiny.of("1x1"), 1.0, "magnitude"), lock=True)
    plan = train(tiny, optimizer, pruner)
    assert torch.equal(plan["wide:grid"], ~zeros)
    assert plan["back:grid"].all()


def test_a_lock_of_runs_with_any_zeros():
    tiny = trained("net")
    weight = tiny.model.back.weight
    with torch.no_grad():
        weight.view(16, 6, 4)[:, 0, :3] = 0  # one of four stays
        weight.view(16, 6, 4)[:, 1, 1] = 0  # three
        weight.view(16, 6, 4)[:, 2, [0, 3]] = 0
    optimizer = adam(tiny)
    own = course(tiny.of("2:4", "back"), 0.5)
    plan = train(tiny, optimizer, pruned(tiny, optimizer, own, lock=True))
    kept = plan["back:grid"].view(16, 6, 4).sum(-1)
    assert kept[:, 0].eq(1).all()
    assert kept[:, 1:].eq(2).all()
    assert (
        plan["back:grid"]
        .view(16, 6, 4)[:, 2]
        .equal(torch.tensor([False, True, True, False]).expand(16, 4))
    )


def test_without_a_lock_zeros_are_weights():
    tiny = trained("net")
    with torch.no_grad():
        tiny.model.wide.weight[:12] = 0
    optimizer = adam(tiny)
    pruner = pruned(tiny, optimizer, course(tiny.of("1x1"), 1.0, "magnitude"))
    assert train(tiny, optimizer, pruner)["wide:grid"].all()
    assert tiny.model.wide.weight.all()


@pytest.mark.parametrize("regrow", [False, True])
def test_what_is_removed_comes_back_only_where_it_may(regrow):
    tiny = trained("net")
    optimizer = adam(tiny)
    own = course(tiny.of("4x1"), 0.5, "gradient", {"name": "linear", "every": 1, "warmup": 1})
    pruner = pruned(tiny, optimizer, own, regrow=regrow)
    back, before = 0, pruner.plan
    for step in range(12):
        tiny.grad(step)
        optimizer.step()
        optimizer.zero_grad()
        check_removed(pruner)
        now = pruner.plan
        back += sum(int((now[name] & ~before[name]).sum()) for name in now)
        before = now
    check_density(pruner, own, 0.5)
    assert bool(back) == regrow


def test_ties_and_zero_gradients_leave_densities_exact():
    tiny = trained("net")
    with torch.no_grad():
        for parameter in tiny.model.parameters():
            parameter.fill_(0.5)  # all gradients of a layer are alike
    optimizer = torch.optim.SGD(tiny.model.parameters(), lr=0.0)
    own = course(tiny.of("1x1"), 0.2)
    pruner = pruned(tiny, optimizer, own)
    for step in range(1, 13):
        tiny.grad(step)
        optimizer.step()
        check_density(pruner, own, own.schedule.density(pruner.tracks[0].times.way(step), 0.2))


def test_a_broken_gradient_is_told():
    tiny = trained("net")
    optimizer = adam(tiny)
    pruner = pruned(tiny, optimizer, course(tiny.of("4x1")))
    tiny.model.wide.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(PrunusError, match="scores are not finite; is the model or the data broken"):
        train(tiny, optimizer, pruner)


def test_huge_scores_keep_their_order():
    tiny = trained("net")
    optimizer = torch.optim.SGD(tiny.model.parameters(), lr=0.0)
    own = course(tiny.of("1x1"), 0.2, "gradient")
    pruner = pruned(tiny, optimizer, own)
    for step in range(12):
        (tiny.loss(step) * 1e20).backward()
        optimizer.step()
        optimizer.zero_grad()
    check_density(pruner, own, 0.2)


@pytest.mark.parametrize("criterion", ["snip_momentum", "movement"])
def test_processes_that_share_their_gradients(tmp_path, criterion):
    spawned = torch.multiprocessing.get_context("spawn")
    process = spawned.Process(target=distributed.worker, args=(1, 2, str(tmp_path), criterion))
    process.start()
    distributed.worker(0, 2, str(tmp_path), criterion)
    process.join()
    one, other = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    alone = distributed.train(batches=2, criterion=criterion)
    for name, found in one.items():
        assert torch.equal(found, other[name]), name
        torch.testing.assert_close(found, alone[name], rtol=1e-3, atol=1e-4)
