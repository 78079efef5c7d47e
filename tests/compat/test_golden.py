"""neural-compressor's calls against a slow pruner written from its documented semantics."""

import copy

import pytest
import torch

from prunus.compat.inc import WeightPruningConfig, prepare_compression, prepare_pruning
from prunus.site import expand
from tests.reference.inc import Reference, wanted
from tests.tiny import batch_of, tiny

STEPS = 9
TIMES = {"start": 1, "end": 8, "every": 2}
DECAYS = ("exp", "cos", "linear", "cube")
CRITERIA = ("magnitude", "gradient", "snip", "snip_momentum")
PATTERNS = ("4x1", "1x1", "2:4", "channelx1", "1xchannel")


@pytest.fixture(scope="module")
def network():
    """In float64, so that no two scores tie by rounding."""
    return tiny("bert", "BertForSequenceClassification", heads=2).double().train(False)


@pytest.fixture(scope="module")
def batches(network):
    return [batch_of(network, seed=seed) for seed in range(STEPS)]


def config_of(times, **settings):
    return WeightPruningConfig(
        [{"excluded_op_names": ["pooler"]}],
        start_step=times["start"],
        end_step=times["end"],
        pruning_frequency=times["every"],
        **settings,
    )


def weights_of(model):
    """What a pruner takes: linear layers but the pooler, and the classifier, which is the last."""
    return {
        name: module.weight
        for name, module in model.named_modules()
        if type(module).__name__ == "Linear" and name not in ("bert.pooler.dense", "classifier")
    }


def masks_of(pruner, model):
    """[outputs, inputs] bool by module."""
    found = {}
    for name, site in pruner.sites.items():
        module = name.removesuffix(":grid")
        shape = model.get_submodule(module).weight.shape
        found[module] = expand(site.slices[0], pruner.masks[name], shape)
    return found


def trained(network, batches, config, settings):
    """Both prune the same training; yields (the pruner's masks, the reference's) at every step."""
    ours, theirs = copy.deepcopy(network), copy.deepcopy(network)
    optimizers = [torch.optim.SGD(model.parameters(), 0.05) for model in (ours, theirs)]
    reference = Reference(weights_of(theirs), **settings)
    pruning = prepare_pruning(ours, config, optimizers[0])
    for batch in batches:
        reference.begin()
        yield masks_of(pruning.pruners[0], ours), reference.masks
        for model in (ours, theirs):
            model(**batch).loss.backward()
        reference.before()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        reference.after()
    pruning.detach()
    for name, weight in weights_of(theirs).items():
        assert torch.equal(ours.get_submodule(name).weight, weight)


@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_masks_are_those_of_the_documented_semantics_at_every_step(
    criterion, pattern, scope, network, batches
):
    for decay in DECAYS:
        target = 0.4 if ":" in pattern else 0.7  # at 0.5 whole heads die, whose gradients are all 0
        said = {"pruning_type": criterion, "pattern": pattern, "pruning_scope": scope}
        config = config_of(TIMES, target_sparsity=target, sparsity_decay_type=decay, **said)
        settings = {"criterion": criterion, "pattern": pattern, "scope": scope, "decay": decay}
        gone = set()
        for step, (ours, theirs) in enumerate(
            trained(network, batches, config, {**settings, **TIMES, "target": target})
        ):
            assert ours.keys() == theirs.keys()
            for name in theirs:
                assert torch.equal(ours[name], theirs[name]), (decay, step, name)
            gone.add(sum(int((~mask).sum()) for mask in theirs.values()))
        assert len(gone) == 4  # nothing at first, then more at each of three times


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_layer_beyond_its_most_is_settled_by_itself(criterion, network, batches):
    most = 0.72
    config = config_of(
        TIMES, target_sparsity=0.7, pruning_type=criterion, max_sparsity_ratio_per_op=most
    )
    settings = {"criterion": criterion, "pattern": "4x1", "scope": "global", "decay": "exp"}
    for ours, theirs in trained(
        network, batches, config, {**settings, **TIMES, "target": 0.7, "most": most}
    ):
        for name in theirs:
            assert torch.equal(ours[name], theirs[name]), name
    shares = [float((~mask).double().mean()) for mask in theirs.values()]
    assert max(shares) <= most
    assert sum(share > most - 0.02 for share in shares) > 1


def test_one_step_at_which_all_goes(network, batches):
    times = {"start": 3, "end": 3, "every": 1}
    config = config_of(times, target_sparsity=0.6, pattern="1x1")
    settings = {"criterion": "snip_momentum", "pattern": "1x1", "scope": "global", "decay": "exp"}
    counts = []
    for ours, theirs in trained(network, batches, config, {**settings, **times, "target": 0.6}):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        counts.append(sum(int((~mask).sum()) for mask in ours.values()))
    assert counts[:3] == [0, 0, 0]
    assert len(set(counts[3:])) == 1
    assert counts[3] > 0


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("decay", DECAYS)
def test_the_schedule_has_these_values_at_every_step(decay, every, network):
    start, end, target = 2, 11, 0.8
    config = WeightPruningConfig(
        target_sparsity=target, sparsity_decay_type=decay, pruning_frequency=every,
        start_step=start, end_step=end, pattern="1x1",
    )  # fmt: skip
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    pruning = prepare_pruning(network, config, optimizer)
    (pruner,) = pruning.pruners
    (track,) = pruner.tracks
    course, times = track.course, track.times
    total = (end - start + every) // every - 1
    for step in range(end + 1):
        due = step >= start and (step - start) % every == 0
        assert times.due(step) == due
        if due:
            expected = wanted(decay, (step - start) // every / total, target)
            density = course.schedule.density(times.way(step), course.budget.density)
            assert density == pytest.approx(1 - expected, abs=1e-12)


def test_callbacks_prune_as_the_optimizer_does(network, batches):
    told, hooked = copy.deepcopy(network), copy.deepcopy(network)
    config = config_of(TIMES, target_sparsity=0.7)
    manager = prepare_compression(told, config)
    optimizers = [torch.optim.SGD(model.parameters(), 0.05) for model in (told, hooked)]
    pruning = prepare_pruning(hooked, config, optimizers[1])
    call = manager.callbacks
    call.on_train_begin()
    call.on_epoch_begin(0)
    for step, batch in enumerate(batches):
        call.on_step_begin(step)
        output = manager.model(**batch)
        loss = call.on_after_compute_loss(batch, output, output.loss)
        loss.backward()
        hooked(**batch).loss.backward()
        call.on_before_optimizer_step()
        for optimizer in optimizers:
            optimizer.step()
        call.on_after_optimizer_step()
        for optimizer in optimizers:
            optimizer.zero_grad()
        call.on_step_end()
    call.on_epoch_end()
    call.on_before_eval()
    call.on_after_eval()
    call.on_train_end()
    assert call.pruning.sparsity == pruning.sparsity > 0.5
    for name, parameter in hooked.named_parameters():
        assert torch.equal(told.get_parameter(name), parameter)
