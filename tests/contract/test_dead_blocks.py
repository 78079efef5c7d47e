"""After blocks went, what nothing reads goes physically: masked = removed = reloaded."""

import pytest
import torch

import prunus
from prunus.anatomy import anatomy
from prunus.edit import dead, mask
from prunus.plan import Plan
from prunus.site import reduce
from tests.tiny import batch_of, far, outputs, tiny

SIZES = {
    "bert": {"width": 64, "intermediate_size": 64},
    "distilbert": {"width": 64, "hidden_dim": 64},
    "t5": {"d_model": 64, "d_kv": 16, "d_ff": 64},
    "gpt2": {"width": 64, "n_inner": 64},
}
VALUES = ("value.weight", "v_lin.weight", ".v.weight", "c_attn.weight")
PATTERNS = ("32x32", "16x16", "4x1", "1xchannel", "channelx1")


def blocks(model, pattern, seed):
    """(grids, a plan that keeps few of their blocks, and none of every third row of blocks)."""
    sites = anatomy(model).grid(".*", pattern, indivisible="skip")
    generator = torch.Generator().manual_seed(seed)
    plan = {n: torch.rand(s.shape, generator=generator) < 0.4 for n, s in sites.items()}
    for stays in plan.values():
        stays[torch.rand(len(stays), generator=generator) < 0.3 * (len(stays) > 1)] = False
    return sites, Plan(plan)


def zero(model, part, units):
    """[units] True where all of their entries in a weight are zero."""
    weight = model.get_parameter(part.tensor).detach()
    return reduce(part, (weight != 0).float(), (units,)) == 0


def unneeded(model, site):
    """[units] True where a unit is not read, or is made of zeros: worked out unit by unit."""
    makers = [part for part in site.weights if part != site.inlet]
    if site.kind == "heads":
        makers = [part for part in makers if part.tensor.endswith(VALUES)][-1:]
    made = torch.stack([zero(model, part, site.units) for part in makers]).any(0)
    return made | zero(model, site.inlet, site.units)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("family", SIZES)
def test_masked_is_removed_is_reloaded(family, pattern, tmp_path):
    model = tiny(family, **SIZES[family])
    batch = batch_of(model)
    sites, plan = blocks(model, pattern, seed=len(pattern))
    with mask(model, sites, plan):
        masked = outputs(model, batch)
    zeroed = prunus.shrink(model, plan, sites)
    small = prunus.remove_dead(zeroed, batch)
    assert far(outputs(model, batch), masked) > 1e-3
    assert far(outputs(small, batch), masked) < 1e-5
    prunus.save(small, tmp_path / "small")
    assert torch.equal(outputs(prunus.load(tmp_path / "small"), batch), outputs(small, batch))
    prunus.save(small, tmp_path / "packed", packed=True)
    assert torch.equal(outputs(prunus.load(tmp_path / "packed"), batch), outputs(small, batch))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("family", SIZES)
def test_what_goes_is_what_is_not_read_or_made_of_zeros(family, pattern):
    model = tiny(family, **SIZES[family])
    sites, plan = blocks(model, pattern, seed=len(pattern))
    zeroed = prunus.shrink(model, plan, sites)
    found, gone = dead(zeroed, batch_of(model)), 0
    for name, site in anatomy(zeroed).of("heads", "neurons").items():
        expected = unneeded(zeroed, site)
        assert torch.equal(~found[name], expected), name
        gone += int(expected.sum())
    assert gone > 0
