"""A sublayer that runs apart from its model gives what it gives within the model."""

import pytest
import torch

from prunus.anatomy import anatomy
from prunus.edit import mask
from prunus.errors import PrunusError
from prunus.probe._apart import block_of, passes
from prunus.recover._variant import Variant
from prunus.recover.modulewise import Modulewise
from tests.contract.draw import kinds_of, random_plan
from tests.tiny import FAMILIES, batch_of, far, tiny

LINEAR = r"(?!.*patch_embedding).*"  # a convolution
CASES = [
    pytest.param(family, kind, id=f"{family}-{kind}")
    for family in FAMILIES
    for kind in ("heads", "neurons", "1x1", "2:4")
    if kind in kinds_of(family) or ":" in kind or "x" in kind
]


def sites_of(model, kind):
    """Sites of one kind, or of all linear layers under a pattern, but not the head."""
    if kind in ("heads", "neurons"):
        return anatomy(model).of(kind)
    return anatomy(model).chosen([{"grid": kind, "match": LINEAR, "indivisible": "pad"}])


def masks_of(sites, seed=0):
    """A mask a site, which takes something of it."""
    if all(site.removable for site in sites.values()):
        return random_plan(sites, seed)
    return {name: pattern(site, seed) for name, site in sites.items()}


def pattern(site, seed):
    """Half of the weights, as the site's pattern has it."""
    drawn = torch.rand(site.shape, generator=torch.Generator().manual_seed(seed))
    if not site.among:
        return drawn < 0.5
    n, m = site.among
    rows = drawn.movedim(1, -1)
    kept = [
        piece.argsort(-1).argsort(-1) < (n if piece.shape[-1] == m else piece.shape[-1])
        for piece in rows.split(m, -1)
    ]
    return torch.cat(kept, -1).movedim(-1, 1)


def within(model, sites, plan, name, batch):
    """What a site's reader first gives while the dense model runs under a mask of that site."""
    given = []
    hook = model.get_submodule(sites[name].reader).register_forward_hook(
        lambda _, __, out: given.append(out)
    )
    with torch.no_grad(), mask(model, sites, {name: plan[name]}):
        model(**batch)
    hook.remove()
    return given[0]


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_a_variant_gives_what_the_masked_model_gives_there(family, kind):
    model = tiny(family)
    sites, batch = sites_of(model, kind), batch_of(model)
    plan = masks_of(sites)
    (found,) = passes(model, sites.values(), [batch])
    for name, site in sites.items():
        alone = Variant(model, sites, site, plan[name])
        with torch.no_grad():
            told = alone(found[1][name])
        expected = within(model, sites, plan, name, batch)
        assert told.shape == expected.shape
        assert far(told, expected) < 1e-5, name
        assert far(told, found[1][name].y) > 1e-3, name  # the mask does something


def state(model):
    """Modes, what learns, hooks, and what is where."""
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), m.training) for m in model.modules()
    ]
    return hooks, [(own.requires_grad, own._version, id(own)) for own in model.parameters()]


@pytest.mark.parametrize("family", ["bert", "t5", "gpt2", "vit", "llama"])
def test_the_dense_model_is_left_as_it_was(family):
    model = tiny(family).train()
    model.get_parameter(next(name for name, _ in model.named_parameters())).requires_grad_(False)
    sites = anatomy(model).of("heads", "neurons")
    before = state(model)
    variants = [Variant(model, sites, sites[n], own) for n, own in random_plan(sites, 0).items()]
    batches = [batch_of(model)] * 2
    Modulewise(epochs=2).tune(
        {str(place): own for place, own in enumerate(variants)},
        lambda order: passes(model, sites.values(), batches), 2,
    )  # fmt: skip
    assert state(model) == before
    assert all(own.grad is None for own in model.parameters())


def test_a_pass_that_is_broken_off_leaves_no_hooks():
    model = tiny("bert")
    before = state(model)
    sites = anatomy(model).of("heads")
    with pytest.raises(RuntimeError):
        list(passes(model, sites.values(), [{"input_ids": torch.zeros(1, 99, dtype=torch.long)}]))
    assert state(model) == before
    seen = passes(model, sites.values(), [batch_of(model)] * 2)
    next(seen)
    seen.close()
    assert state(model) == before


def _error(own, call):
    with torch.no_grad():
        return float(own.error(call)[0])


def errors(model, batch, seed=1):
    """The error of every sublayer under one random plan."""
    sites = anatomy(model).of("heads", "neurons")
    plan = random_plan(sites, seed)
    ((_, calls),) = passes(model, sites.values(), [batch])
    return [_error(Variant(model, sites, sites[n], plan[n]), calls[n]) for n in sites]


@pytest.mark.parametrize("family", ["bert", "t5", "gpt2", "llama", "bart"])
def test_padding_does_not_count(family):
    model = tiny(family)
    batch = batch_of(model)
    other = {name: tensor.clone() for name, tensor in batch.items()}
    padded = batch["attention_mask"] == 0
    other["input_ids"][padded] = 7
    one, changed = errors(model, batch), errors(model, other)
    assert one == pytest.approx(changed, rel=1e-4)
    other["attention_mask"][padded] = 1
    assert errors(model, other) != pytest.approx(one, rel=1e-3)  # it would have counted


@pytest.mark.parametrize("family", ["bert", "t5", "gpt2", "vit"])
def test_nothing_is_dropped_at_random(family):
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout_rate", "resid_pdrop")
    model = tiny(family, **dict.fromkeys(names, 0.5))
    batch = batch_of(model)
    resting = errors(model, batch)
    assert errors(model.train(), batch) == resting


def test_a_sublayer_that_no_pass_reaches_is_told():
    model = tiny("t5")
    sites = anatomy(model).of("heads")
    far_off = {"input_ids": torch.ones(1, 3, dtype=torch.long)}
    model.forward = lambda input_ids: model.encoder(input_ids=input_ids)
    with pytest.raises(PrunusError, match=r"no forward pass reaches decoder"):
        list(passes(model, sites.values(), [far_off]))


def test_no_batches_are_told():
    model = tiny("bert")
    with pytest.raises(PrunusError, match="no batches"):
        list(passes(model, anatomy(model).of("heads").values(), []))


def test_the_block_of_a_sublayer_holds_what_it_is_made_of():
    heads = {block_of(site) for site in anatomy(tiny("t5")).of("heads").values()}
    assert "encoder.block.0.layer.0.SelfAttention" in heads
    assert block_of(anatomy(tiny("bert"))["encoder.layer.1:neurons"]) == "bert.encoder.layer.1"
    grids = anatomy(tiny("bert")).chosen([{"grid": "1x1", "match": ".*query"}])
    assert {block_of(site) for site in grids.values()} == {site.reader for site in grids.values()}
