"""Adapters of blocks: who owns the prototypes, what masks leave of them, what is trained."""

import copy
import math

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from prunus.adapt import adapted, attach, factors, freeze, groups, merge, settle, trained_parameters
from prunus.anatomy import anatomy, plain
from prunus.checkpoint import load_adapters, save_adapters
from prunus.edit import mask, shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.registry import build
from tests.tiny import batch_of, far, outputs, tiny

SPLOPA = {"name": "splopa", "prototypes": 3, "rank": 2, "block": "4x4", "init_range": 0.5}
BLOCKS = r".*(query|dense)"


def adapted_bert(**settings):
    torch.manual_seed(0)
    model = tiny("bert")
    attach(model, {**SPLOPA, **settings})
    return model


def half(sites):
    torch.manual_seed(1)
    return {name: torch.rand(site.shape) < 0.5 for name, site in sites.of("grid").items()}


def test_the_model_owns_its_prototypes_and_no_other_does():
    one, other = adapted_bert(), adapted_bert()
    names = ["adapter_prototypes.3_4x4_2.cols", "adapter_prototypes.3_4x4_2.rows"]
    found = [n for n in one.state_dict() if "prototypes" in n]
    assert found == names
    assert [n for n, _ in one.named_parameters() if "prototypes" in n] == names
    before = outputs(other, batch_of(other))
    with torch.no_grad():
        one.get_parameter(names[0]).add_(1)
    assert torch.equal(outputs(other, batch_of(other)), before)
    assert far(outputs(one, batch_of(one)), before) > 1e-3


def test_a_copy_shares_them_within_itself():
    model = adapted_bert()
    twin = copy.deepcopy(model)
    before = outputs(model, batch_of(model))
    own = twin.get_parameter("adapter_prototypes.3_4x4_2.cols")
    held = {id(part) for layer in adapted(twin).values() for part in layer.adapter.factors()}
    assert id(own) in held
    assert not held & {id(part) for part in model.parameters()}
    with torch.no_grad():
        own.zero_()
    assert torch.equal(outputs(model, batch_of(model)), before)
    bare = tiny("bert")
    bare.load_state_dict({n: v for n, v in twin.state_dict().items() if n in bare.state_dict()})
    assert far(outputs(twin, batch_of(model)), outputs(bare, batch_of(model))) < 1e-6


def test_the_whole_model_can_be_saved_by_transformers(tmp_path):
    model = adapted_bert()
    model.save_pretrained(tmp_path)  # shared tensors would be refused
    from safetensors.torch import load_file

    held = load_file(tmp_path / "model.safetensors")
    assert held.keys() == model.state_dict().keys()


def test_layers_of_their_own():
    model = adapted_bert(shared=False)
    layers = adapted(model)
    assert not hasattr(model, "adapter_prototypes")
    assert len({id(layer.adapter.prototypes.cols) for layer in layers.values()}) == len(layers)
    assert factors(model) == {n for n, _ in model.named_parameters() if ".adapter." in n}


def test_those_that_come_later_share_what_is_there():
    model = tiny("bert")
    for layer in (0, 1):
        attach(model, {**SPLOPA, "match": f".*layer.{layer}.*dense"})
    attach(model, {**SPLOPA, "match": ".*query", "block": "2x2"})
    assert list(model.adapter_prototypes) == ["3_4x4_2", "3_2x2_2"]
    merge(model)
    assert model.state_dict().keys() == tiny("bert").state_dict().keys()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_they_have_the_weights_type(dtype):
    model = tiny("bert").to(dtype)
    attach(model, SPLOPA)
    assert {own.dtype for own in model.parameters()} == {dtype}
    batch = batch_of(model)
    before = outputs(model, batch)
    assert before.dtype == dtype
    merge(model)
    assert far(outputs(model, batch), before) < 1e-6


def test_an_adaptation_has_a_learning_rate_of_its_own():
    model = tiny("bert")
    assert groups(model) == []
    names = attach(model, {**SPLOPA, "match": ".*query", "learning_rate": 1e-3})
    attach(model, {"name": "lora", "match": ".*key", "learning_rate": 1e-2})
    attach(model, {"name": "lora", "match": ".*value"})
    (one, other) = groups(model)
    positions = [model.get_submodule(name).adapter.positions for name in names]
    assert (one["lr"], other["lr"]) == (1e-3, 1e-2)
    assert [id(part) for part in one["params"]] == [id(part) for part in positions]
    assert len(other["params"]) == 2 * len(names)


@pytest.mark.parametrize(("share", "published"), [(1.0, 5.31), (0.3, 1.60), (0.1, 0.54)])
def test_what_is_trained_of_bert_is_what_was_published(share, published):
    with torch.device("meta"):
        model = BertModel(BertConfig(), add_pooling_layer=False)
    attach(model, "splopa")
    blocks = 0
    for layer in adapted(model).values():
        stays = torch.zeros(layer.adapter.grid, dtype=torch.bool)
        count = round(share * stays.numel())
        stays.view(-1)[torch.randperm(stays.numel())[:count]] = True
        layer.adapter.keep(stays)
        blocks += count
    learnt = freeze(model)
    vectors = sum(model.get_parameter(n).numel() for n in learnt if n.endswith(("bias", "weight")))
    found = trained_parameters(model) - vectors
    assert found == 64 * 1 * (32 + 32) + 64 * blocks
    assert found / 1e6 == pytest.approx(published, abs=0.006)


TILES = {"the blocks": "4x4", "of four": "8x8", "rows of them": "4xchannel", "columns": "channelx8"}


@pytest.mark.parametrize("kind", TILES)
def test_settled_is_masked(kind):
    model = adapted_bert()
    sites = anatomy(model).grid(BLOCKS, TILES[kind])
    values = {n: torch.rand(own.shape) * own for n, own in half(sites).items()}
    batch = batch_of(model)
    with mask(model, sites, values):
        masked = outputs(model, batch)
    before = sum(p.numel() for p in model.parameters())
    assert settle(model, sites, values) == set(values)
    torch.testing.assert_close(outputs(model, batch), masked, rtol=1e-5, atol=1e-5)
    gone = sum(
        int((layer.effective_weight() == 0).sum()) // 16 * 3 for layer in adapted(model).values()
    )
    assert sum(p.numel() for p in model.parameters()) == before - gone < before
    for name, value in values.items():
        layer = model.get_submodule(sites[name].reader)
        assert layer.adapter.stays.sum() == value.count_nonzero() * layer.adapter.stays.numel() // (
            value.numel()
        )
    merge(model)
    torch.testing.assert_close(outputs(model, batch), masked, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "vit"])
def test_settled_is_masked_in_layers_of_other_families(family):
    torch.manual_seed(0)
    model = tiny(family)
    attach(model, {**SPLOPA, "block": "4x1"})
    sites = anatomy(model).grid(".*", "4x1", indivisible="skip")
    values = half(sites)
    batch = batch_of(model)
    with mask(model, sites, values):
        masked = outputs(model, batch)
    done = settle(model, sites, values)
    assert done == {f"{name}:grid" for name in adapted(model)}
    rest = {name: own for name, own in values.items() if name not in done}
    with mask(model, sites, rest):
        torch.testing.assert_close(outputs(model, batch), masked, rtol=1e-5, atol=1e-5)


def test_what_blocks_cannot_say_is_left():
    model = adapted_bert(match=".*query")
    fine, other = anatomy(model).grid(".*query", "2x4"), anatomy(model).grid(".*key", "4x4")
    state = copy.deepcopy(model.state_dict())
    values = half(fine) | half(other) | {"encoder.layer.0:heads": torch.zeros(4)}
    assert settle(model, anatomy(model) | fine | other, values) == set()
    assert all(torch.equal(own, state[name]) for name, own in model.state_dict().items())
    even = {name: torch.ones(site.shape) / 2 for name, site in fine.items()}
    assert settle(model, fine, even) == set(even)
    with pytest.raises(PrunusError, match="grids"):
        settle(model, fine, {"grids": torch.ones(1)})


def test_positions_that_stay_still_learn_if_they_did():
    model = adapted_bert(match=".*query")
    layer = next(iter(adapted(model).values())).adapter
    layer.keep(torch.eye(8).bool())
    assert layer.positions.requires_grad
    layer.positions.requires_grad_(False)
    layer.keep(torch.zeros(8, 8).bool())
    assert not layer.positions.requires_grad
    assert not layer.matrix().any()


def test_blocks_that_are_cut_are_refused_and_layers_are_not():
    model = adapted_bert()
    sites = anatomy(model)
    neurons = sites["encoder.layer.0:neurons"]
    with pytest.raises(PrunusError, match=r"intermediate\.dense has an adapter of blocks"):
        shrink(model, Plan({neurons.name: torch.arange(neurons.units) > 3}))
    name = next(n for n, site in sites.items() if site.kind == "layers")
    plan = Plan({name: torch.zeros(1)})
    small = shrink(model, plan)
    merged = copy.deepcopy(model)
    merge(merged)
    batch = batch_of(model)
    assert far(outputs(small, batch), outputs(shrink(merged, plan), batch)) < 1e-5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block": "2:4"}, "2:4 are no blocks: write 32x32"),
        ({"block": "3by3"}, "is no pattern"),
        ({"rank": 0}, "rank"),
        ({"rank": "half"}, "rank"),
        ({"prototypes": 0}, "prototypes"),
        ({"learning_rate": 0}, "learning_rate"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(PrunusError, match=message):
        build("adapt", {"name": "splopa", **settings})


def test_layers_that_blocks_do_not_divide_are_left_alone_unless_asked_for():
    net = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    assert attach(net, {**SPLOPA}) == ["1"]
    net = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8))
    fault = "4x4 does not divide its 8 outputs and 6 inputs"
    with pytest.raises(PrunusError, match=rf"0 \(Linear\) cannot be adapted: {fault}"):
        attach(net, {**SPLOPA, "match": "0"})
    with pytest.raises(PrunusError, match=rf"no layer of Sequential can be adapted: 0: {fault}"):
        attach(net, SPLOPA)
    for method in ({"name": "phm", "n": 4}, {"name": "lokr", "factor": 4}):
        with pytest.raises(PrunusError, match=fault):
            attach(net, method)


def settled(values=False, block="4x4", tiling="4x4"):
    """(base, model, sites, plan, values): trained, masked by blocks, settled."""
    base = tiny("bert")
    model = copy.deepcopy(base)
    attach(model, {**SPLOPA, "block": block})
    torch.manual_seed(5)
    for name in freeze(model):
        nn.init.normal_(model.get_parameter(name), 0.1, 0.2)
    sites = anatomy(base).grid(BLOCKS, tiling)
    stays = half(sites)
    found = {n: torch.rand(own.shape) * own for n, own in stays.items()} if values else stays
    assert settle(model, sites, found) == set(stays)
    return base, model, sites, Plan(stays), found if values else {}


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("tiling", ["4x4", "8x4"])
def test_they_come_back_bit_for_bit(values, tiling, tmp_path):
    base, model, sites, plan, found = settled(values, tiling=tiling)
    dense = copy.deepcopy(base.state_dict())
    save_adapters(model, tmp_path / "a", base, plan, sites, found)
    again = load_adapters(base, tmp_path / "a")
    for name, own in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], own), name
    assert again.state_dict().keys() == model.state_dict().keys()
    batch = batch_of(base)
    assert torch.equal(outputs(again, batch), outputs(model, batch))
    assert merge(again) == merge(model)
    assert torch.equal(outputs(again, batch), outputs(model, batch))
    assert all(torch.equal(own, dense[name]) for name, own in base.state_dict().items())


@pytest.mark.parametrize("values", [False, True])
def test_they_hold_positions_that_stay_and_one_copy_of_the_prototypes(values, tmp_path):
    from safetensors.torch import load_file

    base, model, sites, plan, found = settled(values)
    learnt = {name for name, own in model.named_parameters() if own.requires_grad}
    save_adapters(model, tmp_path / "a", base, plan, sites, found)
    held = load_file(tmp_path / "a/adapters.safetensors")
    assert held.keys() == learnt
    assert sum(own.numel() for own in held.values()) == trained_parameters(model)
    masks = load_file(tmp_path / "a/plan.safetensors")
    assert {n: own.numel() for n, own in masks.items()} == {
        name: math.ceil(site.units / 8) for name, site in sites.of("grid").items()
    }
    assert Plan.load(tmp_path / "a/plan.safetensors") == plan


def test_a_plan_may_hold_units_that_are_removed_as_well(tmp_path):
    base = tiny("bert")
    sites = anatomy(base)
    site = sites["encoder.layer.1:neurons"]
    plan = Plan({site.name: torch.arange(site.units) % 3 > 0})
    grids = sites.grid(r".*(query|key)", "4x4")
    stays = half(grids)
    model = shrink(base, plan | stays, sites | grids)
    attach(model, SPLOPA)
    settle(model, grids, stays)
    save_adapters(model, tmp_path / "a", base, plan | stays, grids | sites)
    again = load_adapters(base, tmp_path / "a")
    assert torch.equal(outputs(again, batch_of(base)), outputs(model, batch_of(base)))


def test_what_a_checkpoint_cannot_say_is_told(tmp_path):
    base, model, sites, plan, _ = settled()
    with pytest.raises(PrunusError, match=r"values: 'encoder.layer.0:heads' is no grid"):
        save_adapters(
            model, tmp_path / "a", base, plan, sites, {"encoder.layer.0:heads": torch.ones(4)}
        )
    with pytest.raises(PrunusError, match="which the model of BertForSequence"):
        save_adapters(model, tmp_path / "a", base, plan)
    filled = shrink(base, plan, sites)
    attach(filled, {**SPLOPA, "block": "8x8"})
    assert settle(filled, sites, plan) == set()
    with pytest.raises(PrunusError, match=r"\.query fills weights that the plan removes; settle"):
        save_adapters(filled, tmp_path / "a", base, plan, sites)
    below = tiny("bert")
    attach(below.bert, SPLOPA)
    with pytest.raises(PrunusError, match="bert owns prototypes: attach adapters to the whole"):
        save_adapters(below, tmp_path / "a", base, Plan())
    assert not (tmp_path / "a").exists()


def test_settled_is_masked_in_a_convolution():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(8, 2))
    attach(net, {**SPLOPA, "match": "0"})
    sites = plain(net).grid("0", "4x4")
    stays = {"0:grid": torch.rand(2, 1, 9) < 0.5}
    stays["0:grid"][..., 4] = torch.tensor([[True], [False]])
    x = torch.randn(3, 4, 3, 3)
    with mask(net, sites, stays):
        masked = net(x)
    assert settle(net, sites, stays) == {"0:grid"}
    torch.testing.assert_close(net(x), masked)
    assert net[0].adapter.positions.shape == (3, 1)
