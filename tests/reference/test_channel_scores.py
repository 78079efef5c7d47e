"""Criteria of what modules put out, against loops over samples, positions and units."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from prunus.anatomy import anatomy
from prunus.drive import job_of
from prunus.errors import PrunusError
from prunus.probe import Evidence
from prunus.registry import build, names
from prunus.score import score
from prunus.site import Site, Slice
from tests.convnets import images, outputs_of, residual
from tests.tiny import batch_of, tiny

DATA = [images(size, seed=size) for size in (3, 2)]
PATHS = ("conv1", "conv2")


def seen(model, data, *paths):
    """For every sample {module: (output, gradient of its loss)}, each [channel, positions]."""
    for batch in data:
        for row in range(len(batch["labels"])):
            held, undo = {}, []
            for path in paths:

                def keep(_, __, out, path=path, held=held):
                    held[path] = out.detach().clone(), out
                    out.retain_grad()
                    return out.clone()

                undo.append(model.get_submodule(path).register_forward_hook(keep))
            logits = model(batch["pixel_values"][row : row + 1]).logits
            functional.cross_entropy(logits, batch["labels"][row : row + 1]).backward()
            for hook in undo:
                hook.remove()
            yield {
                path: (value[0].flatten(1).double(), out.grad[0].flatten(1).double())
                for path, (value, out) in held.items()
            }


def agree(found, expected):
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-4, atol=1e-9)


FORMULAE = {
    ("taylor", "sample"): lambda every: sum((h * g).mean(1).abs() for h, g in every) / len(every),
    ("taylor", "batch"): lambda every: sum((h * g).mean(1) for h, g in every).abs() / len(every),
    ("activation_gradient", ""): lambda every: sum(g.mean(1) for _, g in every).abs() / len(every),
    ("activation", "l1"): lambda every: sum(h.abs().mean(1) for h, _ in every) / len(every),
    ("activation", "l2"): lambda every: sum(h.square().mean(1) for h, _ in every) / len(every),
}


@pytest.mark.parametrize(("name", "how"), FORMULAE)
def test_what_channels_put_out(name, how):
    model = residual()
    settings = {"taylor": {"at": "outputs", "per": how}, "activation": {"norm": how}}.get(name, {})
    sites = {path: outputs_of(model, path) for path in PATHS}
    found = score(model, DATA, sites, build("score", {"name": name, **settings}))
    every = list(seen(model, DATA, *PATHS))
    for path in PATHS:
        agree(found[path], FORMULAE[name, how]([sample[path] for sample in every]))


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_coupled_channels_are_added_up_before_their_size_is_taken(per):
    model = residual()
    site = {"both": outputs_of(model, *PATHS, name="both")}
    criterion = build("score", {"name": "taylor", "at": "outputs", "per": per})
    found = score(model, DATA, site, criterion)["both"]
    each = [sum((s[p][0] * s[p][1]).mean(1) for p in PATHS) for s in seen(model, DATA, *PATHS)]
    expected = sum(e.abs() for e in each) if per == "sample" else sum(each).abs()
    agree(found, expected / len(each))


def test_samples_may_cancel_in_the_mask_gradient():
    model = tiny("bert")
    sites, data = anatomy(model).of("heads"), [batch_of(model, 2, seed=s) for s in (0, 1)]
    alone = [
        {key: tensor[row : row + 1] for key, tensor in batch.items()} for batch in data
        for row in range(2)
    ]  # fmt: skip
    criterion = build("score", {"name": "taylor", "per": "batch"})
    together = score(model, data, sites, criterion)
    usual = score(model, data, sites, build("score", "taylor"))
    apart = score(model, alone, sites, criterion)
    for name in sites:
        agree(together[name], apart[name])
        assert (together[name] < usual[name]).any()
        assert (together[name] <= usual[name] + 1e-9).all()


def test_heads_put_out_queries_keys_and_values():
    model = tiny("bert")
    batch = batch_of(model)
    name = "encoder.layer.1:heads"
    found = score(model, [batch], anatomy(model).of("heads"), build("score", "activation"))[name]
    attention, held = model.bert.encoder.layer[1].attention.self, {}
    for path in ("query", "key", "value"):
        attention.get_submodule(path).register_forward_hook(
            lambda _, __, out, path=path: held.update({path: out})
        )
    model(**batch)
    expected = torch.zeros(4)
    for out in held.values():
        for row, real in enumerate(batch["attention_mask"].bool()):
            sizes = out[row][real].abs().mean(0)
            expected += sizes.reshape(4, 8).sum(1) / len(out)
    agree(found, expected.detach())


def test_outlets_of_a_transposed_linear_layer():
    site = anatomy(tiny("gpt2"))["h.0:neurons"]
    assert {path: part.axis for path, part in site.outlets.items()} == {
        "transformer.h.0.mlp.c_fc": 1
    }


def test_scores_of_outputs_leave_the_model_alone():
    model = residual().train()
    model.conv1.weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name in ("lrp", "activation", "activation_gradient"):
        once, again = (
            score(model, DATA, {"a": outputs_of(model, "conv1")}, build("score", name))["a"]
            for _ in range(2)
        )
        assert torch.equal(once, again)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.conv1.weight.requires_grad
    assert model.conv2.weight.requires_grad
    assert not model.conv1._forward_hooks


def test_filters_and_folded_batch_norms():
    model = residual()
    sites = {path: outputs_of(model, path) for path in PATHS}
    filters = {"name": "magnitude", "of": "outputs"}
    plain, folded, squares = (
        score(model, [], sites, build("score", {**filters, **more}))
        for more in ({}, {"folded": True}, {"norm": "l2"})
    )
    for path, norm in (("conv1", model.bn1), ("conv2", model.bn2)):
        weight = model.get_parameter(f"{path}.weight").detach()
        for unit in range(8):
            size = weight[unit].abs().sum()
            slope = norm.weight[unit] / (norm.running_var[unit] + norm.eps).sqrt()
            agree(plain[path][unit], size)
            agree(folded[path][unit], (size * slope.abs()).detach())
            agree(squares[path][unit], weight[unit].square().sum())


def test_folded_batch_norms_need_filters_and_a_pass():
    with pytest.raises(PrunusError, match="say of: outputs"):
        build("score", {"name": "magnitude", "folded": True})
    model = residual()
    site, weights = outputs_of(model, "conv1"), dict(model.named_parameters())
    criterion = build("score", {"name": "magnitude", "of": "outputs", "folded": True})
    with pytest.raises(PrunusError, match="not for scores in training"):
        criterion.score(Evidence(site, weights))


def test_scales_of_batch_norms():
    model = residual()
    site = {"both": outputs_of(model, *PATHS, name="both")}
    found = score(model, [], site, build("score", "bn_scale"))["both"]
    agree(found, (model.bn1.weight.abs() + model.bn2.weight.abs()).detach())
    with pytest.raises(PrunusError, match="crosses no batch norm"):
        score(model, [], {"head": outputs_of(model, "head")}, build("score", "bn_scale"))


def test_distances_to_all_other_filters():
    model = residual()
    found = score(model, [], {"a": outputs_of(model, "conv2")}, build("score", "fpgm"))["a"]
    weight = model.conv2.weight.detach().double()
    for unit in range(8):
        agree(found[unit], sum((weight[unit] - other).norm() for other in weight))


@pytest.mark.parametrize("name", ["magnitude", "taylor", "lrp", "random"])
@pytest.mark.parametrize(("norm", "size"), [("l1", 1), ("l2", 2)])
def test_scores_are_divided_by_the_norm_of_their_site(name, norm, size):
    model, sites = residual(), {path: outputs_of(residual(), path) for path in PATHS}
    settings = {"name": name} | ({"at": "outputs"} if name == "taylor" else {})
    usual = score(model, DATA, sites, build("score", settings))
    criterion = build("score", {**settings, "normalize": norm})
    found = score(model, DATA, sites, criterion)
    for path in PATHS:
        agree(found[path], usual[path] / usual[path].norm(size))
    assert not criterion.adds_up


def test_a_site_without_any_score_stays_at_zero():
    model = residual()
    nn.init.zeros_(model.conv2.weight)
    criterion = build("score", {"name": "magnitude", "of": "outputs", "normalize": "l2"})
    found = score(model, [], {"a": outputs_of(model, "conv2")}, criterion)["a"]
    assert torch.equal(found, torch.zeros(8))


@pytest.mark.parametrize(
    "settings", [{"name": "fisher", "normalize": "l1"}, {"name": "taylor", "at": "outputs"}]
)
def test_scores_that_only_rank_have_no_curves(settings):
    model = tiny("bert")
    with pytest.raises(PrunusError, match="only ranks units"):
        job_of(
            model, anatomy(model).of("heads"), [batch_of(model)], budget={"density": 0.5},
            score=settings, select="curves", recover=[],
        )  # fmt: skip


def test_sites_without_outlets_are_refused():
    model = tiny("bert")
    sites = anatomy(model).grid(".*query", "4x1")
    for name in ("activation", "fpgm"):
        with pytest.raises(PrunusError, match="is not the output of linear layers"):
            score(model, [batch_of(model)], sites, build("score", name))


def test_outlets_that_no_pass_reaches_are_told():
    model = residual()
    model.spare = nn.Linear(2, 2)
    with pytest.raises(PrunusError, match="does not reach spare"):
        score(model, DATA, {"a": outputs_of(model, "spare")}, build("score", "activation"))


def test_depthwise_convolutions_and_norms_are_no_outlets():
    from prunus.anatomy._outlets import with_outlets

    model = nn.ModuleDict(
        {"a": nn.Conv2d(4, 4, 3, groups=4), "b": nn.BatchNorm2d(4), "c": nn.Conv2d(2, 4, 1),
         "d": nn.ConvTranspose2d(2, 4, 1), "e": nn.Conv2d(4, 2, 1)}
    )  # fmt: skip
    axes = {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1}
    slices = tuple(Slice(f"{path}.weight", (axis,), (1,)) for path, axis in axes.items())
    site = with_outlets(model, Site("s", "channels", (4,), slices))
    assert list(site.outlets) == ["c", "d"]


class Doubled:
    """Stands for an adapter: twice the weight acts."""

    def effective_weight(self):
        return 2 * self.weight

    def forward(self, x):
        return super().forward(x) * 1.0


class DoubledConv2d(Doubled, nn.Conv2d):
    pass


@pytest.mark.parametrize("name", sorted({"fpgm", "magnitude", "lrp"} & set(names("score"))))
def test_scores_see_the_weight_that_acts(name):
    model, plain = residual(), residual()
    model.conv2.__class__ = DoubledConv2d
    with torch.no_grad():
        plain.conv2.weight.mul_(2)
    sites = {path: outputs_of(model, path) for path in PATHS}
    found, expected = (score(m, DATA, sites, build("score", name)) for m in (model, plain))
    for path in PATHS:
        agree(found[path], expected[path])
    assert type(model.conv2) is DoubledConv2d
    assert torch.equal(model.conv2.weight, residual().conv2.weight)
