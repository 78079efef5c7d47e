"""Channels of networks that are written down nowhere: the laws hold, and nothing is cut wrongly."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prunus.adapt import attach, merge
from prunus.anatomy import Anatomy, anatomy
from prunus.edit import mask, prove, shrink
from prunus.errors import PrunusError
from prunus.measure.size import parameters
from prunus.plan import Plan
from prunus.probe.work import flops as counted
from prunus.probe.work import work
from prunus.registry import build, names
from prunus.score import score
from prunus.select import Budget, flops, params, select
from prunus.site import expand, reduce
from tests.architectures import ARCHITECTURES, IMAGE, PLAIN, Drawn, network, stirred

TOLERANCE = 2e-5


def sites_of(model: nn.Module) -> Anatomy:
    return anatomy(model, None if hasattr(model, "config") else IMAGE)


def images(sites: Anatomy, seed: int) -> dict[str, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(2, *value.shape[1:], generator=drawn)
        for name, value in (sites.example or {}).items()
    }


def answer(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        out = model(**batch)
    return out if isinstance(out, Tensor) else out.logits


def some(sites: Anatomy, seed: int) -> Plan:
    """A random plan that every site may have."""
    drawn, masks = torch.Generator().manual_seed(seed), {}
    for name, site in sites.items():
        stays = torch.rand(site.units, generator=drawn) < 0.6
        stays[torch.randperm(site.units, generator=drawn)[: site.least]] = True
        masks[name] = stays
    return Plan(masks)


def check(model: nn.Module, seed: int) -> float:
    """Masked = shrunk, for one mask and for one a sample; costs are what is counted then.

    Returns:
        How far both are from the dense network's answer, of which the largest is 1.
    """
    sites = sites_of(model)
    plan, batch = some(sites, seed), images(sites, seed)
    dense = answer(model, batch)
    small = shrink(model, plan, sites)
    shrunk = answer(small, batch)
    assert torch.equal(dense, answer(model, batch)), "the model was changed"
    scale = dense.abs().max()
    each = {name: stays.double().expand(2, -1) for name, stays in plan.items()}
    for values in (plan, each):
        with mask(model, sites, values):
            assert (answer(model, batch) - shrunk).abs().max() < TOLERANCE * scale
    kept = plan.counts()
    assert params(sites)(kept) == parameters(small)
    one = {name: value[:1] for name, value in batch.items()}
    assert flops(sites, work(model, one))(kept) == counted(small, one)
    return float((dense - shrunk).abs().max() / scale)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_laws(name):
    for seed in range(2):
        assert check(network(name, seed), seed) > 10 * TOLERANCE


@given(st.integers(0, 10**6))
@settings(max_examples=60)
def test_any_graph(seed):
    torch.manual_seed(seed)
    check(stirred(Drawn(seed), seed), seed)


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (lambda x: nn.functional.pad(x, (0, 0, 0, 0, -2, -2)), "cropped by number"),
        (lambda x: x.as_strided((x.shape[0], 4, *x.shape[2:]), x.stride()), "strided by number"),
    ],
)
def test_channels_that_are_picked_by_number_stay(part, why):
    class Picked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 8, 3), nn.Conv2d(4, 6, 3)
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.two(part(self.one(x))).mean((2, 3)))

    sites = sites_of(Picked())
    assert list(sites) == ["two:channels"]
    assert why in sites.fixed["one"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_adjoint_and_proven(name):
    model = network(name)
    sites = sites_of(model)
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    for site in sites.values():
        for part in site.slices:
            like = torch.randn(tensors[part.tensor].shape).double()
            values = torch.randn(site.units).double()
            left = (expand(part, values, like.shape) * like).sum()
            assert torch.isclose(left, (values * reduce(part, like, site.shape)).sum())
    prove(model, sites)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_same_sites_again_and_in_the_cut_network(name):
    model = network(name)
    sites = sites_of(model)
    assert list(sites) == list(sites_of(copy.deepcopy(model)))
    assert len(sites) >= 1
    plan = some(sites, 3)
    small = sites.read(shrink(model, plan, sites))
    assert {n: site.units for n, site in small.items()} == plan.counts()
    check(shrink(model, plan, sites), 4)


def test_the_stream_of_a_stage_is_one_site():
    sites = sites_of(network("ResNet"))
    stream = sites["encoder.stages.1.layers.0.layer.2.convolution:channels"]
    assert set(stream.outlets) == {
        "resnet.encoder.stages.1.layers.0.layer.2.convolution",
        "resnet.encoder.stages.1.layers.0.shortcut.convolution",
        "resnet.encoder.stages.1.layers.1.layer.2.convolution",
    }
    assert all(norm.startswith(layer.removesuffix("convolution")) for layer, norm in stream.folds)
    assert len(stream.folds) == 3


def test_channels_of_zeros_leave_with_the_stream_that_they_are_added_to():
    model = network("padded ResNet")
    sites = sites_of(model)
    plan = Plan({"3.conv2:channels": torch.arange(8) < 5})
    small = shrink(model, plan, sites)
    assert small.get_submodule("3.pad").padding == (0, 0, 0, 0, 5, 8)
    assert small.get_submodule("3.conv2").weight.shape[0] == 29


def test_a_linear_layer_that_alone_reads_channels_can_be_mended():
    sites = sites_of(network("ConvNext"))
    inner = sites["encoder.stages.0.layers.0.pwconv1:channels"]
    assert inner.reader == "convnext.encoder.stages.0.layers.0.pwconv2"


class Looping(nn.Module):
    """Something that nobody can follow."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.one, self.other = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        if self.how == "unknown":
            x = torch.fft.fft(x, dim=1).real
        if self.how == "number":
            x = x.reshape(x.shape[0], 8, *x.shape[2:])
        if self.how == "lookup":
            x = x[:, torch.arange(7, -1, -1)]
        return self.head(self.other(x).mean((2, 3)))


def test_an_operation_without_a_rule_is_named():
    with pytest.raises(PrunusError, match=r"the operation aten\._fft_r2c"):
        anatomy(Looping("unknown"), IMAGE)


def test_a_number_of_channels_in_code_is_found_and_its_place_told():
    model = Looping("number")
    with pytest.raises(
        PrunusError, match=r"Looping cannot compute with fewer channels: .*is invalid"
    ):
        prove(model, anatomy(model, IMAGE))


def test_what_code_picks_by_number_stays():
    sites = anatomy(Looping("lookup"), IMAGE)
    assert list(sites) == ["other:channels"]
    assert sites.fixed["one"] == "picked by number in the network itself"


def test_no_site_says_why():
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    with pytest.raises(PrunusError, match=r"Outputs that always stay: 0 \(the network's output"):
        anatomy(model, {"input": torch.zeros(1, 3, 4, 4)}).of("channels")


def test_too_few_channels():
    model = network("VGG")
    sites = sites_of(model)
    with pytest.raises(PrunusError, match="at least 2 of its channels must stay"):
        shrink(model, Plan({"0:channels": torch.arange(8) < 1}), sites)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_any_module_is_pruned_in_memory(name):
    from prunus import prune

    model = network(name)
    small = prune(
        model, [{"x": torch.randn(4, 3, 32, 32)}], density=0.9, sites="channels",
        score="magnitude", select="greedy", recover=(),
    )  # fmt: skip
    assert counted(small, IMAGE) <= counted(model, IMAGE)


@pytest.mark.parametrize(("round_to", "expected"), [(1, 5), (2, 4), (4, 4)])
def test_counts_are_rounded_and_the_best_stay(round_to, expected):
    model = network("VGG")
    sites = sites_of(model).only(["0:channels"])  # of 8 channels
    scores = {"0:channels": torch.arange(8.0)}
    budget = Budget(density=0.7, metric="params", round_to=round_to)
    plan = select(scores, sites, budget, params(sites))
    assert plan["0:channels"].tolist() == [False] * (8 - expected) + [True] * expected


def test_a_budget_that_rounding_cannot_meet():
    sites = sites_of(network("VGG")).only(["0:channels"])
    budget = Budget(density=0.3, metric="params", round_to=8)
    with pytest.raises(PrunusError, match="floors alone"):
        select({"0:channels": torch.arange(8.0)}, sites, budget, params(sites))


@pytest.mark.parametrize("method", ["lora", "splora", "sppara"])
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "Bit"])
def test_adapters_ride_on_traced_channels(name, method):
    model = network(name)
    bare, rank = sites_of(model), {} if method == "sppara" else {"rank": 3}
    attach(model, {"name": method, "init_range": 0.3, **rank})
    sites = sites_of(model)
    assert list(sites) == list(bare)
    plan, batch = some(sites, 1), images(sites, 1)
    small = shrink(model, plan, sites)
    adapted, bound = answer(small, batch), TOLERANCE * answer(model, batch).abs().max()
    with mask(model, sites, plan):
        assert (answer(model, batch) - adapted).abs().max() < bound
    assert params(sites)(plan.counts()) == parameters(small)
    merge(small)
    assert (answer(small, batch) - adapted).abs().max() < bound
    merge(model)
    merged = shrink(model, plan, sites_of(model))
    assert (answer(merged, batch) - answer(small, batch)).abs().max() < bound


def test_adapters_of_blocks_do_not_ride_on_traced_channels():
    model = network("ResNet")
    bare = sites_of(model)
    attach(model, {"name": "splopa", "block": "4x1", "init_range": 0.3})
    sites = sites_of(model)
    assert dict(sites) == dict(bare)
    with pytest.raises(PrunusError, match="has an adapter of blocks, which are not cut"):
        shrink(model, some(sites, 1), sites)


REFUSED = {"fluctuation", "knowledge", "obs", "wanda"}
"""Criteria that need a linear layer which reads the units."""


@pytest.mark.parametrize("name", names("score"))
def test_every_criterion_ranks_traced_channels_or_says_why_not(name):
    model = network("ResNet")
    sites = sites_of(model)
    labels = torch.tensor([0, 1])
    batches = [{**images(sites, seed), "labels": labels} for seed in (0, 1)]
    criterion = build("score", name)
    if name in REFUSED or criterion.learned:
        with pytest.raises(PrunusError):
            score(model, batches, sites, criterion)
        return
    found, again = (score(model, batches, sites, criterion) for _ in range(2))
    for site in sites.values():
        assert found[site.name].shape == site.shape
        assert found[site.name].isfinite().all()
        assert torch.equal(found[site.name], again[site.name])
    assert any(own.double().std() > 0 for own in found.values())


def test_what_lies_on_no_residual_stream_is_not_mended():
    from prunus import prune

    model, batch = network("Bit"), {"pixel_values": torch.randn(4, 3, 32, 32)}
    with pytest.raises(PrunusError, match="no single reader on a residual stream"):
        prune(model, [batch], sites="channels", score="magnitude", select="greedy",
              recover=["least_squares"])  # fmt: skip
