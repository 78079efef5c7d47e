"""The mask: differentiable in its values, one a sample if wanted, and gone without a trace."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prunus.edit import mask
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.site import Site, Slice, reduce
from tests.contract.draw import KINDS, Case, cases, each, random_plan
from tests.tiny import FAMILIES, GROUPED, HEADS, far, outputs

GRID = r".*(query|query_proj|q_proj|q_lin|q|c_attn|dense|up_proj|fc1|lin1|wi)"


def usual(family, **config):
    """The family's usual head, two layers."""
    return Case(family, HEADS[family].__name__, 1, {"layers": 2, **config})


def of_kind(case, kind):
    """The sites of a kind, grids included."""
    return case.sites.grid(GRID, (4, 2)) if kind == "grid" else case.of(kind)


def answer(model, batch):
    """Logits, or the hidden states of a model without a head."""
    return next(value for name, value in model(**batch).items() if name != "loss")


@pytest.fixture
def exact(monkeypatch):
    """Norms in the precision of their input; Llama's own take their statistics in float32."""

    def forward(norm, x):
        gemma = hasattr(norm, "eps")
        eps = norm.eps if gemma else norm.variance_epsilon
        return (norm.weight + gemma) * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)

    norms = {"t5": "T5LayerNorm", **{name: f"{name.capitalize()}RMSNorm" for name in GROUPED}}
    for name, norm in norms.items():
        monkeypatch.setattr(f"transformers.models.{name}.modeling_{name}.{norm}.forward", forward)


@each(*((kind,) for kind in (*KINDS, "grid")))
def test_gradients_are_finite_differences(exact, family, kinds):
    case = usual(family)
    model = copy.deepcopy(case.model).double()
    batch = {k: v.double() if v.is_floating_point() else v for k, v in case.batch.items()}
    sites = of_kind(case, *kinds)
    torch.manual_seed(0)
    at = {name: torch.rand(site.shape).double() + 0.5 for name, site in sites.items()}
    along = {name: torch.randn(site.shape).double() for name, site in sites.items()}

    def value(step):
        moved = {name: (at[name] + step * along[name]) for name in at}
        for tensor in moved.values():
            tensor.requires_grad_()
        with mask(model, sites, moved):
            out = answer(model, batch).sin().sum()
        return out.detach(), torch.autograd.grad(out, list(moved.values()))

    _, gradients = value(0)
    slope = sum((g * d).sum() for g, d in zip(gradients, along.values(), strict=True))
    step = 1e-5
    difference = (value(step)[0] - value(-step)[0]) / (2 * step)
    assert difference.item() == pytest.approx(slope.item(), rel=1e-6)


@each(("heads",), ("queries",), ("neurons",), ("sublayers",), ("grid",))
def test_gradients_at_one_are_weight_times_weight_gradient(family, kinds):
    case = usual(family)
    sites = of_kind(case, *kinds)
    ones = {name: torch.ones(site.shape, requires_grad=True) for name, site in sites.items()}
    with mask(case.model, sites, ones):
        answer(case.model, case.batch).sin().sum().backward()
    case.model.zero_grad()
    answer(case.model, case.batch).sin().sum().backward()
    for name, site in sites.items():
        part = site.inlet if site.removable else site.slices[0]
        weight = case.model.get_parameter(part.tensor)
        expected = reduce(part, weight.detach() * weight.grad, site.shape)
        torch.testing.assert_close(ones[name].grad, expected, rtol=1e-3, atol=1e-6)


@each(*((kind,) for kind in KINDS))
def test_a_mask_a_sample_is_each_sample_under_its_mask(family, kinds):
    case = usual(family)
    sites = case.of(*kinds)
    torch.manual_seed(0)
    values = {name: torch.rand(3, *site.shape) + 0.5 for name, site in sites.items()}
    with torch.no_grad(), mask(case.model, sites, values):
        together = answer(case.model, case.batch)
    for row in range(3):
        one = {name: value[row] for name, value in values.items()}
        with torch.no_grad(), mask(case.model, sites, one):
            alone = answer(case.model, case.batch)
        assert far(together[row], alone[row]) < 1e-5


@each(*((kind,) for kind in (*KINDS, "grid")))
def test_booleans_and_numbers_are_the_same_mask(family, kinds):
    case = usual(family)
    sites = of_kind(case, *kinds)
    plan = random_plan(sites, 4)
    with mask(case.model, sites, plan):
        booleans = outputs(case.model, case.batch)
    with mask(case.model, sites, {name: kept.double() for name, kept in plan.items()}):
        assert torch.equal(outputs(case.model, case.batch), booleans)


def trace(model):
    """All that a mask may have left behind: tensors, their order, hooks, attributes."""
    modules = dict(model.named_modules())
    return {
        "parameters": {name: id(tensor) for name, tensor in model.named_parameters()},
        "order": list(model.state_dict()),
        "hooks": [
            (name, kind)
            for name, module in modules.items()
            for kind in ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called")
            if getattr(module, kind)
        ],
        "attributes": {name: sorted(vars(module)) for name, module in modules.items()},
    }


@pytest.mark.parametrize("family", FAMILIES)
@given(st.data())
@settings(max_examples=3)
def test_nothing_is_left_behind(family, data):
    case = data.draw(cases(family))
    sites = case.sites | case.sites.grid(GRID, (1, 1))
    before, dense = trace(case.model), outputs(case.model, case.batch)
    tensors = copy.deepcopy(case.model.state_dict())
    with mask(case.model, sites, random_plan(sites, data.draw(st.integers(0, 99)))):
        assert not torch.equal(outputs(case.model, case.batch), dense)
    assert trace(case.model) == before
    assert torch.equal(outputs(case.model, case.batch), dense)
    assert all(torch.equal(tensors[k], v) for k, v in case.model.state_dict().items())


class Boom(Exception):
    """A pass that fails."""


@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt])
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_left_behind_by_a_pass_that_fails(family, error):
    case = usual(family)
    sites = case.sites | case.sites.grid(GRID, (1, 1))
    before, dense = trace(case.model), outputs(case.model, case.batch)

    def fail(*_):
        raise error

    linears = [name for name, module in case.model.named_modules() if isinstance(module, nn.Linear)]
    for name in linears[:5]:
        module = case.model.get_submodule(name)
        for register in (module.register_forward_pre_hook, module.register_forward_hook):
            handle = register(fail)
            with pytest.raises(error), mask(case.model, sites, random_plan(sites, 1)):
                outputs(case.model, case.batch)
            handle.remove()
            assert trace(case.model) == before
            assert torch.equal(outputs(case.model, case.batch), dense)


def test_nothing_is_left_behind_by_values_that_do_not_fit():
    case = usual("bert")
    before = trace(case.model)
    values = {name: torch.ones(site.shape) for name, site in case.sites.items()}
    with pytest.raises(PrunusError), mask(case.model, case.sites, values | {"nothing": 1}):
        pass
    assert trace(case.model) == before


@each(("heads",), ("neurons",), ("sublayers",), ("layers",), ("grid",))
def test_masks_in_masks_multiply(family, kinds):
    case = usual(family)
    sites = of_kind(case, *kinds)
    one, other = random_plan(sites, 1), random_plan(sites, 2)
    with mask(case.model, sites, one), mask(case.model, sites, other):
        nested = outputs(case.model, case.batch)
    with mask(case.model, sites, one & other):
        assert far(nested, outputs(case.model, case.batch)) < 1e-6


def test_a_convolution_is_masked_as_a_matrix():
    case = usual("vit")
    name = "vit.embeddings.patch_embeddings.projection.weight"
    weight = case.model.get_parameter(name)
    tile = (4, 64)
    site = Site("patches:grid", "grid", (8, 3), (Slice(name, (0, (1, 2, 3)), tile),))
    keep = random_plan({"patches:grid": site}, 0)["patches:grid"]
    with mask(case.model, {"patches:grid": site}, {"patches:grid": keep}):
        masked = outputs(case.model, case.batch)
    blocks = keep.repeat_interleave(4, 0).repeat_interleave(64, 1)
    with torch.no_grad():
        weight.mul_(blocks.reshape(weight.shape))
    assert far(masked, outputs(case.model, case.batch)) < 1e-6


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("encoder.layer.9:heads", torch.ones(4), "no site is called 'encoder.layer.9:heads'"),
        ("encoder.layer.0:heads", torch.ones(5), "has grid (4,); got values of (5,)"),
        ("encoder.layer.0:heads", torch.ones(2, 2, 4), "got values of (2, 2, 4)"),
        ("encoder.layer.0:heads", torch.tensor(1.0), "got values of ()"),
        ("bert.pooler.dense:grid", torch.ones(3, 32, 32), "got values of (3, 32, 32)"),
        ("bert.pooler.dense:grid", torch.ones(32), "got values of (32,)"),
    ],
)
def test_values_that_fit_no_site(name, value, message):
    case = usual("bert")
    sites = case.sites | case.sites.grid("bert.pooler.dense", (1, 1))
    with pytest.raises(PrunusError) as caught, mask(case.model, sites, {name: value}):
        pass
    assert message in str(caught.value)


def test_an_empty_plan_masks_nothing():
    case = usual("bert")
    dense = outputs(case.model, case.batch)
    with mask(case.model, case.sites, Plan()):
        assert torch.equal(outputs(case.model, case.batch), dense)
