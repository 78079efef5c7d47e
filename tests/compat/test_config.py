import inspect

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

import prunus
from prunus.compat._config import PrunerConfig, resolve
from prunus.compat._layers import layers
from prunus.compat.inc import WeightPruningConfig, prepare_compression, prepare_pruning
from prunus.errors import PrunusError
from tests.tiny import batch_of, tiny

DEFAULTS = {
    "target_sparsity": 0.9,
    "pruning_type": "snip_momentum",
    "pattern": "4x1",
    "op_names": (),
    "excluded_op_names": (),
    "backend": None,
    "start_step": 0,
    "end_step": 0,
    "pruning_scope": "global",
    "pruning_frequency": 1,
    "min_sparsity_ratio_per_op": 0.0,
    "max_sparsity_ratio_per_op": 0.98,
    "sparsity_decay_type": "exp",
    "pruning_op_types": ("Conv", "Linear"),
    "low_memory_usage": False,
    "criterion_type": "snip_momentum",
    "resume_from_pruned_checkpoint": False,
    "reg_type": None,
    "reg_coeff": 0.0,
    "criterion_reduce_type": "mean",
    "lock_init_sparsity": False,
}


@pytest.fixture
def model():
    return tiny("bert", "BertForSequenceClassification")


def test_the_defaults_and_their_order_are_those_of_the_original():
    (pruner,) = WeightPruningConfig().pruners
    assert list(pruner.model_dump()) == list(DEFAULTS)
    assert pruner.model_dump() == DEFAULTS


@pytest.mark.parametrize(
    ("common", "own", "found"),
    [
        ({}, {}, 0.9),
        ({"target_sparsity": 0.5}, {}, 0.5),
        ({}, {"target_sparsity": 0.4}, 0.4),
        ({"target_sparsity": 0.5}, {"target_sparsity": 0.4}, 0.4),
        ({"target_sparsity": 0.5}, {"target_sparsity": None}, 0.5),
        ({"target_sparsity": None}, {"target_sparsity": None}, 0.9),
        ({"target_sparsity": None}, {"target_sparsity": 0.4}, 0.4),
        ({"target_sparsity": 0.5}, {"target_sparsity": 0.0}, 0.0),
    ],
)
def test_local_comes_before_global_before_the_default(common, own, found):
    assert WeightPruningConfig([own], **common).pruners[0].target_sparsity == found


def test_every_dict_is_a_pruner_of_its_own():
    config = WeightPruningConfig([{"pattern": "1x1"}, {"end_step": 7}], 0.5, "snip", "16x1")
    first, second = config.pruners
    assert (first.pattern, first.end_step, first.pruning_type) == ("1x1", 0, "snip")
    assert (second.pattern, second.end_step, second.target_sparsity) == ("16x1", 7, 0.5)


def test_nothing_leaks_from_one_configuration_into_the_next():
    own = {"op_names": ["query"]}
    WeightPruningConfig([own], target_sparsity=0.3, pattern="2:4")
    assert own == {"op_names": ["query"]}
    assert WeightPruningConfig().pruners == (PrunerConfig(),)
    assert not any(
        isinstance(one.default, list | dict)
        for one in inspect.signature(WeightPruningConfig).parameters.values()
    )


def test_parameters_are_spelt_out():
    (pruner,) = resolve([{"reg_type": "group_lasso", "parameters": {"reg_coeff": 0.1}}], {})
    assert pruner.reg_coeff == 0.1


@pytest.mark.parametrize(
    ("pattern", "written", "most"),
    [
        ("4x1", "4x1", 0.98),
        ("tile_pattern_4x1", "4x1", 0.98),
        ("channelx1", "channelx1", 0.98),
        ("2:4", "2:4", 0.5),
        ("1:4", "3:4", 0.25),
        ("3:4", "1:4", 0.75),
        ("mha", "None", 0.98),
    ],
)
def test_of_n_in_m_n_go(pattern, written, most):
    (pruner,) = resolve([{"pattern": pattern, "target_sparsity": 0.2}], {})
    assert str(pruner.tiling) == written
    assert pruner.most == most


@pytest.mark.parametrize(
    ("kind", "criterion", "progressive", "locked"),
    [
        ("snip_momentum", "snip_momentum", False, False),
        ("magnitude_progressive", "magnitude", True, False),
        ("basic", "gradient", False, False),
        ("progressive", "gradient", True, False),
        ("pattern_lock", "gradient", False, True),
    ],
)
def test_the_type_decides_the_criterion_where_it_names_one(kind, criterion, progressive, locked):
    (found,) = resolve([{"pruning_type": kind, "criterion_type": "gradient"}], {})
    assert (found.criterion, found.progressive, found.locked) == (criterion, progressive, locked)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"target_sparsty": 0.5}, r"pruning_configs\[0\].*Did you mean 'target_sparsity'"),
        ({"target_sparsty": None}, "Did you mean 'target_sparsity'"),
        ({"parameters": {"reg_coef": 1}}, "Did you mean 'reg_coeff'"),
        ({"pattern": "2:4", "target_sparsity": 0.6}, "beyond pattern 2:4, of which at most 0.5"),
        ({"pattern": "4:2"}, "of N:M weights N go"),
        ({"pattern": "4by1"}, "no pattern: write 4x1"),
        ({"pruning_type": "snip_momentom"}, "Did you mean 'snip_momentum'"),
        ({"pruning_type": "sparse_gpt"}, "prunes without training"),
        ({"criterion_type": "snipp"}, "Did you mean 'snip'"),
        ({"start_step": 5, "end_step": 4}, "end_step 4 is before start_step 5"),
        ({"start_step": -1}, "start_step"),
        ({"target_sparsity": 1.0}, "target_sparsity"),
        ({"max_sparsity_ratio_per_op": 1.0}, "max_sparsity_ratio_per_op"),
        ({"min_sparsity_ratio_per_op": 0.99}, "above the most that may go"),
        ({"pruning_frequency": 0}, "pruning_frequency"),
        ({"pruning_scope": "uniform"}, "pruning_scope"),
        ({"sparsity_decay_type": "cubic"}, "sparsity_decay_type"),
        ({"reg_coeff": -1.0}, "reg_coeff"),
        ({"op_names": ["("]}, "no regular expression"),
        ({"pruning_type": "pattern_lock", "end_step": 3}, "pattern_lock acts once"),
    ],
)
def test_what_is_wrong_is_told(own, message):
    with pytest.raises(PrunusError, match=message):
        WeightPruningConfig([own])


def test_a_misspelt_key_of_all_pruners_is_told():
    with pytest.raises(PrunusError, match=r"WeightPruningConfig.*Did you mean 'pruning_frequency'"):
        WeightPruningConfig([{}], pruning_frequncy=3)


def names(model, **settings):
    return layers(model, *resolve([settings], {}))


def test_layers_are_searched_by_name_and_class_and_the_last_one_is_left_out(model):
    every = names(model)
    assert "bert.pooler.dense" in every
    assert "classifier" not in every
    assert len(every) == 2 * 6 + 1
    assert names(model, op_names=["query", r"1\.output"]) == [
        "bert.encoder.layer.0.attention.self.query",
        "bert.encoder.layer.1.attention.self.query",
        "bert.encoder.layer.1.output.dense",
    ]
    assert names(model, excluded_op_names=["layer", "embeddings"]) == ["bert.pooler.dense"]
    assert names(model, pruning_op_types=["Lin"]) == every


def test_a_linear_layer_that_is_not_the_last_module_stays_in():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Softmax(-1))
    assert names(net) == ["0", "2"]
    assert names(net[:3]) == ["0"]
    assert names(nn.Sequential(*net[:3], nn.Dropout())) == ["0"]


def test_op_names_that_match_nothing_are_an_error(model):
    config = WeightPruningConfig([{"op_names": ["quary"]}], end_step=4)
    with pytest.raises(PrunusError, match=r"op_names \['quary'\].*bert.embeddings"):
        prepare_pruning(model, config, torch.optim.SGD(model.parameters()))


def test_a_class_without_a_matrix_is_an_error(model):
    config = WeightPruningConfig(pruning_op_types=["LayerNorm"], end_step=4)
    with pytest.raises(PrunusError, match="LayerNorm"):
        prepare_pruning(model, config, torch.optim.SGD(model.parameters()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "1xchannel", "pruning_scope": "local", "target_sparsity": 0.98,
          "end_step": 4}, "beyond '.*' .*: 0 would stay, but .* keeps 1"),
        ({"end_step": 4, "pruning_frequency": 9}, "masks every 9 steps, but there are only 4"),
        ({}, "set end_step above 0"),
        ({"end_step": 4, "pattern": "7x1"}, "7x1 divides none"),
        ({"end_step": 4, "pattern": "mha", "op_names": ["query"]}, "all four"),
    ],
)  # fmt: skip
def test_what_cannot_be_reached_is_told_before_training(settings, message, model):
    with pytest.raises(PrunusError, match=message):
        prepare_pruning(model, WeightPruningConfig([settings]), torch.optim.SGD(model.parameters()))


def steps(model, optimizer, count):
    for seed in range(count):
        model(**batch_of(model, seed=seed)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def zeros(model, name):
    weight = model.get_submodule(name).weight
    return float((weight == 0).float().mean())


def test_a_layer_of_two_pruners_is_pruned_by_both(model):
    query = "bert.encoder.layer.0.attention.self.query"
    config = WeightPruningConfig(
        [
            {"op_names": ["query", "key"], "pattern": "channelx1", "target_sparsity": 0.25},
            {"op_names": ["query"], "pattern": "1xchannel", "target_sparsity": 0.5},
        ],
        end_step=4, pruning_scope="local",
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    pruning = prepare_pruning(model, config, optimizer)
    steps(model, optimizer, 6)
    pruning.detach()
    assert zeros(model, query) == 1 - 0.75 * 0.5
    assert zeros(model, query.replace("query", "key")) == 0.25


def test_heads_go(model):
    config = WeightPruningConfig(pattern="mha", target_sparsity=0.5, end_step=4)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    prepare_pruning(config, model, optimizer)  # as early releases wanted it
    steps(model, optimizer, 5)
    weight = model.bert.encoder.layer[0].attention.self.query.weight
    gone = (weight == 0).all(1).reshape(4, -1)
    assert (gone.all(1) == gone.any(1)).all()
    total = sum(
        int((layer.attention.self.value.weight == 0).all(1).sum()) // 8
        for layer in model.bert.encoder.layer
    )
    assert total == 4


@pytest.mark.parametrize("scope", ["global", "local"])
def test_layers_lie_between_their_bounds_on_every_step(scope, model):
    config = WeightPruningConfig(
        target_sparsity=0.6, pruning_scope=scope, pattern="1x1", end_step=8, pruning_frequency=2,
        min_sparsity_ratio_per_op=0.5, max_sparsity_ratio_per_op=0.65, pruning_type="magnitude",
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    (pruner,) = prepare_pruning(model, config, optimizer).pruners
    for done in range(8):
        steps(model, optimizer, 1)
        gone = {name: float((~mask).double().mean()) for name, mask in pruner.masks.items()}
        way = sum(int((~mask).sum()) for mask in pruner.masks.values())
        way /= sum(mask.numel() for mask in pruner.masks.values())
        assert way == pytest.approx(1 - 0.4 ** ((done + 1) // 2 / 4), abs=1e-3)
        assert all(0.5 * way / 0.6 - 2e-3 <= share <= 0.65 for share in gone.values()), done
    assert way == pytest.approx(0.6, abs=1e-3)  # each layer to one unit
    assert min(gone.values()) >= 0.5 - 1e-9


def test_a_locked_pattern_stays_and_nothing_else_goes(model):
    weight = model.bert.encoder.layer[0].output.dense.weight
    with torch.no_grad():
        weight[:8] = 0
    config = WeightPruningConfig(pruning_type="pattern_lock", pattern="4x1")
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    pruning = prepare_pruning(model, config, optimizer)
    steps(model, optimizer, 3)
    assert (weight[:8] == 0).all()
    assert (weight[8:] != 0).all()
    pruning.detach()
    assert zeros(model, "bert.encoder.layer.1.output.dense") == 0


def test_a_resumed_checkpoint_keeps_its_zeros(model):
    weight = model.bert.encoder.layer[0].output.dense.weight
    with torch.no_grad():
        weight[:8] = 0
    config = WeightPruningConfig(
        resume_from_pruned_checkpoint=True, target_sparsity=0.5, end_step=4, pattern="4x1"
    )
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    pruning = prepare_pruning(model, config, optimizer)
    steps(model, optimizer, 2)
    assert (weight[:8] == 0).all()
    steps(model, optimizer, 3)
    assert (weight[:8] == 0).all()
    pruning.detach()


@pytest.mark.parametrize(
    ("by", "first", "second"), [("mean", [], [0]), ("sum", [0], []), ("max", [1], [])]
)
def test_blocks_are_scored_by_what_is_said(by, first, second):
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 8), nn.Tanh())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.9, 0.5], [0, 0.5], [0, 0.5], [0, 0.5]]))
        net[2].weight.fill_(2)
        net[2].weight[:, 0] = torch.tensor([0.3] * 7 + [0.9])
    config = WeightPruningConfig(
        pattern="channelx1", pruning_type="magnitude", criterion_reduce_type=by,
        target_sparsity=1 / 6, max_sparsity_ratio_per_op=0.9,
    )  # fmt: skip
    prepare_pruning(net, config, torch.optim.SGD(net.parameters()))
    gone = [(net[place].weight == 0).all(0).nonzero().flatten().tolist() for place in (0, 2)]
    assert gone == [first, second]


def test_convolutions_and_transposed_layers_are_taken():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 8, 3)
            self.mix = Conv1D(12, 8)

        def forward(self, x):
            return self.mix(self.conv(x).mean((2, 3))).sum()

    net = Net()
    config = WeightPruningConfig(
        target_sparsity=0.5, pattern="4x1", end_step=2, pruning_scope="local"
    )
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    prepare_pruning(net, config, optimizer)
    for _ in range(3):
        net(torch.randn(2, 4, 5, 5)).backward()
        optimizer.step()
    assert (net.conv.weight.reshape(2, 4, 4, 9) == 0).all(1).float().mean() == 0.5
    assert (net.mix.weight.T.reshape(3, 4, 8) == 0).all(1).float().mean() == 0.5


def test_a_loop_that_tells_of_no_step_is_an_error(model):
    call = prepare_compression(model, WeightPruningConfig(end_step=4)).callbacks
    with pytest.raises(PrunusError, match="on_step_begin before on_train_begin"):
        call.on_step_begin(0)
    call.on_train_begin()
    call.on_epoch_begin(0)
    call.on_step_begin(0)
    with pytest.raises(PrunusError, match="an epoch without a step"):
        call.on_epoch_end()
    with pytest.raises(PrunusError, match="ended after 0 steps, but pruning goes on until step 4"):
        call.on_train_end()
    with pytest.raises(PrunusError, match="was called before"):
        call.on_train_begin()


def test_a_loop_that_tells_half_of_a_step_is_an_error(model):
    call = prepare_compression(model, [WeightPruningConfig(end_step=4)]).callbacks
    call.on_train_begin()
    with pytest.raises(PrunusError, match="on_after_optimizer_step: each"):
        call.on_after_optimizer_step()
    call.on_before_optimizer_step()
    with pytest.raises(PrunusError, match="on_before_optimizer_step: each"):
        call.on_before_optimizer_step()


def test_a_manager_saves_what_opens_again(model, tmp_path):
    manager = prepare_compression(model, WeightPruningConfig(pruning_type="magnitude"))
    manager.callbacks.on_train_begin()
    assert manager.callbacks.pruning.sparsity > 0.8
    manager.save(tmp_path / "out")
    again = prunus.load(tmp_path / "out")
    for name, parameter in model.named_parameters():
        assert torch.equal(again.get_parameter(name), parameter)
    assert not list((tmp_path / "out").glob("*.pt"))
    with pytest.raises(PrunusError, match=r"torch\.onnx\.export"):
        manager.export("x.onnx", None)
    other = prepare_compression(nn.Sequential(nn.Linear(4, 4)), WeightPruningConfig())
    with pytest.raises(PrunusError, match=r"safetensors\.torch\.save_file"):
        other.save(tmp_path / "other")


@pytest.mark.parametrize("confs", [[], [WeightPruningConfig()] * 2, {"pattern": "4x1"}])
def test_one_configuration_is_taken(confs, model):
    with pytest.raises(PrunusError, match="WeightPruningConfig"):
        prepare_compression(model, confs)


def test_pruning_needs_an_optimizer_of_torch(model):
    with pytest.raises(PrunusError, match="give it one"):
        prepare_pruning(model, WeightPruningConfig(end_step=4))
    with pytest.raises(PrunusError, match="keras"):
        prepare_pruning(model, WeightPruningConfig(end_step=4), framework="keras")
