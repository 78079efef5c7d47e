"""Adapters against the weights that they stand for: forward, backward, merged, cut."""

import copy
import re

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from prunus.adapt import (
    Adapted,
    adapted,
    attach,
    freeze,
    merge,
    trained_parameters,
)
from prunus.anatomy import anatomy
from prunus.edit import mask, shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.registry import build, find, names
from tests.tiny import batch_of, far, outputs, tiny

METHODS = names("adapt")
RIDING = [name for name in METHODS if find("adapt", name).rides]
SMALL = {
    "sppara": {}, "splopa": {"rank": 2, "prototypes": 3, "block": "2x1"}, "phm": {"n": 2},
    "lokr": {"rank": 2},
}  # fmt: skip
ENDS = re.compile(r"\.(cols|full|delta)$")
LAYERS = {
    "linear": (lambda: nn.Linear(6, 10), (3, 5, 6)),
    "no bias": (lambda: nn.Linear(6, 10, bias=False), (3, 6)),
    "transposed": (lambda: Conv1D(10, 6), (3, 5, 6)),
    "1d": (lambda: nn.Conv1d(6, 10, 3), (2, 6, 9)),
    "same": (lambda: nn.Conv1d(6, 10, 5, padding="same", dilation=2), (2, 6, 9)),
    "2d": (lambda: nn.Conv2d(6, 10, 3, padding=1), (2, 6, 7, 8)),
    "strided": (lambda: nn.Conv2d(6, 10, (3, 5), 2, (1, 0), dilation=(1, 2)), (2, 6, 9, 13)),
    "padded far": (lambda: nn.Conv2d(6, 10, 3, padding=(3, 1), stride=(2, 3)), (2, 6, 7, 8)),
    "reflected": (lambda: nn.Conv2d(6, 10, 3, 1, (2, 0), padding_mode="reflect"), (2, 6, 7, 8)),
    "circular": (lambda: nn.Conv2d(6, 10, 1, padding=1, padding_mode="circular"), (2, 6, 7, 8)),
    "grouped": (lambda: nn.Conv2d(24, 40, 3, 2, padding=1, groups=2), (2, 24, 7, 8)),
    "depthwise": (lambda: nn.Conv2d(6, 12, 3, padding=1, groups=6), (2, 6, 7, 8)),
    "1 x 1": (lambda: nn.Conv2d(6, 10, 1, 2), (2, 6, 7, 8)),
    "3d": (lambda: nn.Conv3d(6, 10, 3, padding=1), (2, 6, 4, 5, 6)),
}  # fmt: skip


def specs(name, **settings):
    return {"name": name, **SMALL.get(name, {"rank": 2}), **settings}


def layer_of(kind, method, **settings):
    """(a model of one adapted layer, far from its beginning; its input)."""
    torch.manual_seed(0)
    made, shape = LAYERS[kind]
    model = nn.Sequential(made()).double()
    if (kind, method) == ("depthwise", "phm"):
        settings |= {"n": 1}  # no two blocks on an axis of one input
    attach(model, specs(method, init_range=0.5, match="0", head=True, **settings))
    return model, torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", LAYERS)
def test_it_computes_what_its_effective_weight_does(kind, method):
    model, x = layer_of(kind, method)
    plain = LAYERS[kind][0]().double()
    plain.load_state_dict({k: v for k, v in model[0].state_dict().items() if "adapter" not in k})
    dense = plain(x)
    plain.weight = nn.Parameter(model[0].effective_weight().detach())
    expected, found = plain(x), model(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert far(found.detach(), dense.detach()) > 1e-3
    assert isinstance(model[0], type(plain))
    weights = torch.randn_like(found)
    wanted = torch.autograd.grad((expected * weights).sum(), [x, plain.weight])
    factors = list(model[0].adapter.factors())
    x_grad, *grads = torch.autograd.grad((found * weights).sum(), [x, *factors])
    torch.testing.assert_close(x_grad, wanted[0])
    slow = torch.autograd.grad((model[0].effective_weight() * wanted[1]).sum(), factors)
    for one, other in zip(grads, slow, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", LAYERS)
def test_merging_leaves_the_layer_that_was_there(kind, method):
    model, x = layer_of(kind, method)
    beside, weight = model(x), model[0].effective_weight()
    assert merge(model) == ["0"]
    assert type(model[0]) is type(LAYERS[kind][0]())
    assert model.state_dict().keys() == nn.Sequential(LAYERS[kind][0]()).state_dict().keys()
    assert torch.equal(model[0].weight, weight)
    torch.testing.assert_close(model(x), beside, rtol=1e-12, atol=1e-12)
    assert merge(model) == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", LAYERS)
def test_it_begins_as_the_layer_is(kind, method):
    torch.manual_seed(0)
    made, shape = LAYERS[kind]
    model, x = nn.Sequential(made()), torch.randn(shape)
    before = model(x)
    settings = {"n": 1} if (kind, method) == ("depthwise", "phm") else {}
    attach(model, specs(method, match="0", head=True, **settings))
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)
    model(x).square().sum().backward()
    assert all(own.grad.abs().sum() for n, own in model.named_parameters() if ENDS.search(n))


def test_a_delta_on_the_centre_costs_no_kernel():
    model, _ = layer_of("2d", "splora")
    delta = model[0].effective_weight() - model[0].weight
    assert delta[:, :, 1, 1].abs().min() > 0
    delta[:, :, 1, 1] = 0
    assert not delta.any()
    sizes = {m: sum(p.numel() for p in layer_of("2d", m)[0][0].adapter.factors()) for m in METHODS}
    assert sizes == {
        "lora": 2 * (6 * 9 + 10), "splora": 2 * (6 + 10), "sppara": 60,
        "splopa": 3 * (5 * 6 + 2 * (2 + 1)), "phm": 2 * (2 * 2 + 5 * 3), "lokr": 4 + 2 * (5 + 3),
    }  # fmt: skip


@pytest.mark.parametrize(("rank", "found"), [(3, 3), (0.25, 2), (0.01, 1)])
def test_a_rank_may_be_a_share_of_the_outputs(rank, found):
    model = nn.Sequential(nn.Linear(6, 10))
    attach(model, {"name": "splora", "rank": rank, "head": True})
    assert model[0].adapter.rows.shape == (found, 6)


@pytest.mark.parametrize("method", RIDING)
@pytest.mark.parametrize("kind", ["linear", "transposed", "2d", "grouped"])
def test_a_slice_of_the_adapter_is_the_adapter_of_the_slice(kind, method):
    model, _ = layer_of(kind, method)
    layer, axes = model[0], {}
    for factor, axis, follows in layer.adapter.rides:
        axes.setdefault(follows, []).append((factor, axis))
    assert axes.keys() == {0, 1}
    whole = layer.effective_weight().detach()
    for axis, factors in axes.items():
        stays = torch.tensor([i % 3 != 1 for i in range(whole.shape[axis])]).nonzero()[:, 0]
        layer.weight = nn.Parameter(layer.weight.detach().index_select(axis, stays))
        for name, own in factors:
            cut = getattr(layer.adapter, name).detach().index_select(own, stays)
            setattr(layer.adapter, name, nn.Parameter(cut))
        whole = whole.index_select(axis, stays)
    torch.testing.assert_close(layer.effective_weight().detach(), whole, rtol=1e-14, atol=1e-16)


SHRUNK = {
    "bert": ("heads", "neurons", "channels", "layers"),
    "gpt2": ("heads", "neurons", "channels"),
    "llama": ("heads", "queries", "neurons", "channels"),
    "t5": ("heads", "neurons"),
    "vit": ("heads", "neurons", "channels"),
}


def plan_of(sites, kinds):
    """About half of everything goes, and whole sublayers where that can be."""
    masks = {}
    for number, site in enumerate(sites.of(*kinds).values()):
        stays = torch.arange(site.units) % 2 == number % 2
        if site.kind == "layers":
            stays = torch.tensor([number % 2 == 0])
        elif site.even > 1:
            stays = torch.arange(site.units) % site.even < max(1, site.even // 2)
        elif site.kind in ("heads", "neurons") and number == 1:
            stays = torch.zeros(site.units, dtype=torch.bool)
        masks[site.name] = stays
    return Plan(masks)


@pytest.mark.parametrize("method", RIDING)
@pytest.mark.parametrize("family", SHRUNK)
def test_cut_with_its_layer_it_is_the_merged_model_cut(family, method):
    model = tiny(family)
    names = attach(model, specs(method, init_range=0.3))
    batch, kinds = batch_of(model), SHRUNK[family]
    merged = copy.deepcopy(model)
    assert merge(merged) == names
    assert far(outputs(model, batch), outputs(merged, batch)) < 1e-5
    sites = anatomy(model)
    plan = plan_of(sites, kinds)
    small, small_merged = shrink(model, plan), shrink(merged, plan)
    with mask(model, sites, plan):
        masked = outputs(model, batch)
    assert far(outputs(small, batch), outputs(small_merged, batch)) < 1e-5
    assert far(outputs(small, batch), masked) < 1e-5
    assert far(masked, outputs(model, batch)) > 1e-3
    ranks = (
        {own.adapter.rows.shape[0] for own in adapted(small).values()}
        if method != "sppara"
        else {2}
    )
    assert ranks == {2}
    merge(small)
    for name, own in small_merged.state_dict().items():
        torch.testing.assert_close(small.state_dict()[name], own, msg=name)
    types = {name: type(own) for name, own in small_merged.named_modules()}
    assert {name: type(own) for name, own in small.named_modules()} == types


def test_sites_hold_the_factors_and_grids_do_not():
    model = tiny("bert")
    plain = anatomy(model)
    attach(model, "splora")
    sites = anatomy(model)
    site = sites["encoder.layer.0:neurons"]
    up, down = "bert.encoder.layer.0.intermediate.dense", "bert.encoder.layer.0.output.dense"
    added = site.slices[len(plain[site.name].slices) :]
    more = {(part.tensor, part.axes, part.tile) for part in added}
    assert more == {(f"{up}.adapter.cols", (0,), (1,)), (f"{down}.adapter.rows", (1,), (1,))}
    grids = sites.grid(".*query", "4x1").of("grid")
    assert all(len(grid.slices) == 1 for grid in grids.values())


def test_what_is_trained_beside_frozen_weights():
    model = tiny("vit")
    names = attach(model, {"name": "splora", "rank": 2})
    trained = freeze(model)
    assert "classifier" not in names
    expected = {n for n, p in model.named_parameters() if p.dim() == 1 or "adapter" in n}
    assert set(trained) == expected | {"classifier.weight"}
    assert {n for n, p in model.named_parameters() if p.requires_grad} == set(trained)
    assert trained_parameters(model) == sum(model.get_parameter(n).numel() for n in trained)
    outputs_before = model(**batch_of(model)).loss
    outputs_before.backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def test_a_tied_head_stays_as_its_embeddings_are():
    model = tiny("llama", tie_word_embeddings=True)
    assert "lm_head" not in attach(model, {"name": "lora", "head": True})
    assert not any("embed" in name or "lm_head" in name for name in freeze(model))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_it_has_the_weights_type(dtype):
    model = nn.Sequential(nn.Linear(6, 10), nn.Conv1d(3, 4, 3)).to(dtype)
    attach(model, {"name": "splora", "head": True, "init_range": 0.1})
    assert {own.dtype for own in model.parameters()} == {dtype}
    assert model[0](torch.ones(2, 6, dtype=dtype)).dtype == dtype
    merge(model)
    assert {own.dtype for own in model.parameters()} == {dtype}


def test_it_is_where_the_weight_is():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(6, 10))
    attach(model, {"name": "splora", "head": True})
    assert model[0].adapter.cols.device.type == "meta"


class Odd(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(4, 6)
        self.first, self.tied = nn.Linear(6, 6), nn.Linear(6, 6)
        self.tied.weight = self.first.weight
        self.odd, self.plain = Odd(6, 6), nn.Linear(6, 6)
        self.conv, self.up = nn.Conv2d(3, 4, 2), nn.ConvTranspose2d(3, 4, 3)
        self.bits = nn.Linear(6, 6)
        self.bits.weight = nn.Parameter(torch.ones(6, 6, dtype=torch.int8), requires_grad=False)
        self.head = nn.Linear(6, 2)


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("table", r"table \(Embedding\) cannot be adapted: there are adapters for Linear, Conv1D"),
        ("up", r"up \(ConvTranspose2d\) cannot be adapted"),
        ("first", "its weight is another layer's as well"),
        ("odd", r"odd \(Odd\) cannot be adapted: it computes something else than Linear"),
        ("conv", "a kernel of 2x2 has no centre; use lora"),
        ("bits", "its weight is of type torch.int8"),
        ("head", r"no layer of Net matches 'head'; the head \(head\) is left out, `head: true`"),
        ("nowhere", "no layer of Net matches 'nowhere'"),
    ],
)
def test_a_layer_that_is_asked_for_and_cannot_be_adapted_is_told(match, message):
    net = Net()
    before = list(net.state_dict())
    with pytest.raises(PrunusError, match=message):
        attach(net, {"name": "splora", "match": match})
    assert list(net.state_dict()) == before


def test_what_cannot_be_adapted_stays_plain_where_all_are_meant():
    net = Net()
    assert attach(net, "splora") == ["plain"]
    assert "conv" in attach(Net(), "lora")


def test_a_second_adapter_is_refused():
    net = Net()
    attach(net, {"name": "splora", "match": "plain"})
    trained = copy.deepcopy(net.state_dict())
    for match in ("plain", None):
        with pytest.raises(PrunusError, match="plain has an adapter already; merge it first"):
            attach(net, {"name": "lora", "match": match})
    assert list(net.state_dict()) == list(trained)
    merge(net)
    assert attach(net, {"name": "lora", "match": "plain"}) == ["plain"]


def test_a_model_without_adapters_is_not_frozen():
    net = Net()
    with pytest.raises(PrunusError, match="Net has no adapter: attach some first"):
        freeze(net)
    assert net.plain.weight.requires_grad


def test_a_copy_is_a_model_of_its_own():
    model, x = layer_of("2d", "splora")
    twin = copy.deepcopy(model)
    expected = model(x)
    merge(twin)
    assert isinstance(model[0], Adapted)
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank"),
        ({"rank": 1.5}, "rank"),
        ({"init_range": -1}, "greater than or equal to 0"),
        ({"ranks": 4}, "rank"),
        ({"match": "("}, "regular expression"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(PrunusError, match=message):
        build("adapt", {"name": "splora", **settings})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_attention_computes_what_its_effective_weights_do(batch_first, method):
    torch.manual_seed(0)
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2, batch_first=batch_first)})
    plain, x = copy.deepcopy(model["attention"]), torch.randn(3, 5, 8)
    begun = plain(x, x, x)[0]
    assert attach(model, specs(method, match="attention", head=True)) == ["attention"]
    layer = model["attention"]
    torch.testing.assert_close(layer(x, x, x)[0], begun)
    factors = [own for name, own in model.named_parameters() if "adapter" in name]
    for own in factors:
        nn.init.normal_(own, 0, 0.3)
    with torch.no_grad():
        plain.in_proj_weight.copy_(layer.effective_weight())
        plain.out_proj.weight.copy_(layer.out_proj.effective_weight())
    expected = plain(x, x, x)
    assert far(expected[0].detach(), begun.detach()) > 0.1
    torch.testing.assert_close(layer(x, x, x), expected)
    freeze(model)
    layer(x, x, x)[0].square().sum().backward()
    assert all(own.grad.abs().sum() > 0 for own in factors)
    model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, x, x, need_weights=False)[0], expected[0])
    assert merge(model) == ["attention", "attention.out_proj"]
    assert type(layer) is type(plain)
    assert layer.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(layer(x, x, x), expected)


def test_what_a_layer_around_reads_by_itself_is_left_alone():
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(8, 8), nn.Linear(8, 2))
    assert attach(model, "splora") == ["1"]
    message = r"0.linear1 \(Linear\) cannot be adapted: torch's layer around it reads its weight"
    with pytest.raises(PrunusError, match=message):
        attach(model, {"name": "splora", "match": "0.linear1"})


@pytest.mark.parametrize("method", METHODS)
def test_a_masked_grid_masks_what_an_adapter_adds(method):
    model = tiny("bert")
    attach(model, specs(method, init_range=0.5))
    sites = anatomy(model).grid(r".*(query|dense)", "4x4")
    plan = Plan({name: torch.rand(site.shape) < 0.5 for name, site in sites.items()})
    batch = batch_of(model)
    with mask(model, sites, plan):
        masked = outputs(model, batch)
    merge(model)
    cut = outputs(shrink(model, plan, sites), batch)
    torch.testing.assert_close(masked, cut, rtol=1e-5, atol=1e-5)
    assert far(masked, outputs(model, batch))
