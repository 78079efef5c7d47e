"""Units that can go for nothing, go; all others stay."""

import copy
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import prunus
from prunus.anatomy import anatomy
from prunus.edit import dead, mask
from prunus.plan import Plan
from prunus.site import expand
from tests.contract.draw import cases
from tests.tiny import FAMILIES, answers, batch_of, far, outputs, tiny

LIVE, UNREAD, IDLE = range(3)


def clear(model, part, units):
    """Zeros for the entries of some units, [units] bool, in one tensor."""
    tensor = model.get_parameter(part.tensor)
    with torch.no_grad():
        tensor.masked_fill_(expand(part, units, tensor.shape).bool(), 0)


def kill(model, site, fates):
    """Zeros where units of one fate are read, and in the weights that make those of another."""
    for part in site.weights:
        clear(model, part, fates == (UNREAD if part == site.inlet else IDLE))


def folds(model, site):
    """Whether what units without weights give is nothing, or can be given by the reader."""
    makers = {part.tensor.rpartition(".")[0] for part in site.weights} - {site.reader}
    biased = {name: model.get_submodule(name).bias is not None for name in (site.reader, *makers)}
    return biased[site.reader] or not any(biased.values())


def counts(model):
    """{kind: units in all}."""
    found = Counter()
    for site in anatomy(model).values():
        found[site.kind] += site.units
    return found


@pytest.mark.parametrize("family", FAMILIES)
@given(st.data())
@settings(max_examples=6)
def test_dead_units_are_gone_and_the_model_answers_the_same(family, tmp_path_factory, data):
    case = data.draw(cases(family))
    generator = torch.Generator().manual_seed(case.seed)
    expected, foldable = counts(case.model), {}
    for site in case.of("heads", "neurons").values():
        fates = torch.randint(0, 3, site.shape, generator=generator)
        kill(case.model, site, fates)
        foldable[site.name] = folds(case.model, site)
        gone = (fates == UNREAD) | (fates == IDLE) & foldable[site.name]
        expected[site.kind] -= int(gone.sum())
    before = copy.deepcopy(case.model.state_dict())
    small = prunus.remove_dead(case.model, case.batch)
    found = counts(small)
    assert {k: found[k] for k in ("heads", "neurons")} == {
        k: expected[k] for k in ("heads", "neurons")
    }
    whole = answers(case.model, case.batch)
    for name, answer in answers(small, case.batch).items():
        assert far(answer, whole[name]) < 1e-5, name
    assert all(torch.equal(before[name], t) for name, t in case.model.state_dict().items())
    folder = tmp_path_factory.mktemp("dead") / "model"
    prunus.save(small, folder)
    assert torch.equal(outputs(prunus.load(folder), case.batch), outputs(small, case.batch))


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_dead_in_a_model_without_zeros(family):
    model = tiny(family)
    batch = batch_of(model)
    assert all(stays.all() for stays in dead(model, batch).values())
    small = prunus.remove_dead(model, batch)
    assert torch.equal(outputs(small, batch), outputs(model, batch))
    assert type(small) is type(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_without_queries_and_keys_is_alive(family):
    model = tiny(family)
    for site in anatomy(model).of("heads").values():
        query, key = list(dict.fromkeys(site.weights))[:2]
        for part in (query, key):
            clear(model, part, torch.arange(site.units) == 1)
    assert all(stays.all() for stays in dead(model, batch_of(model)).values())


VALUES = {
    "bert": "encoder.layer.1.attention.self.value.weight",
    "gpt2": "h.1.attn.c_attn.weight",
    "llama": "layers.1.self_attn.v_proj.weight",
    "t5": "decoder.block.1.layer.1.EncDecAttention.v.weight",
}


@pytest.mark.parametrize("family", VALUES)
def test_a_head_without_values_is_dead(family):
    model = tiny(family)
    batch = batch_of(model)
    before = outputs(model, batch)
    (site,) = (
        site
        for site in anatomy(model).of("heads").values()
        if any(part.tensor.endswith(VALUES[family]) for part in site.slices)
    )
    value = [part for part in site.weights if part.tensor.endswith(VALUES[family])][-1]
    clear(model, value, torch.arange(site.units) == 2)
    changed = outputs(model, batch)
    plan = dead(model, batch)
    assert plan[site.name].tolist() == [unit != 2 for unit in range(site.units)]
    assert sum(int((~stays).sum()) for stays in plan.values()) == 1
    assert far(outputs(prunus.remove_dead(model, batch), batch), changed) < 1e-5
    assert far(before, changed) > 1e-4


def test_gelu_of_a_bias_is_folded():
    model = tiny("bert")
    batch = batch_of(model)
    site = anatomy(model)["encoder.layer.0:neurons"]
    clear(model, site.slices[0], torch.arange(site.units) < 5)
    reader = model.get_submodule(site.reader)
    bias = reader.bias.clone()
    small = prunus.remove_dead(model, batch)
    assert torch.equal(reader.bias, bias)
    folded = small.get_submodule(site.reader).bias
    up = model.get_submodule("bert.encoder.layer.0.intermediate.dense")
    given = reader.weight[:, :5] @ torch.nn.functional.gelu(up.bias[:5])
    assert far(folded.detach(), (bias + given).detach()) < 1e-6
    assert far(outputs(small, batch), outputs(model, batch)) < 1e-5
    plan = dead(model, batch)
    with mask(model, anatomy(model), plan):
        assert far(outputs(model, batch), outputs(small, batch)) > 1e-3
    reader.bias.data.copy_(folded)
    with mask(model, anatomy(model), plan):
        assert far(outputs(model, batch), outputs(small, batch)) < 1e-5


def test_without_a_batch_only_what_nobody_reads_is_dead():
    model = tiny("bert")
    site = anatomy(model)["encoder.layer.0:neurons"]
    kill(model, site, torch.arange(site.units) % 3)
    gone = {name: int((~stays).sum()) for name, stays in dead(model).items()}
    assert gone == dict.fromkeys(gone, 0) | {site.name: 8}


def test_a_constant_stays_where_the_reader_has_no_bias():
    model = tiny("qwen2")
    batch = batch_of(model)
    site = anatomy(model)["layers.0:heads"]
    kill(model, site, torch.tensor([LIVE, IDLE, UNREAD]))
    assert dead(model, batch)[site.name].tolist() == [True, True, False]
    (bias,) = (part for part in site.slices if part.tensor.endswith("v_proj.bias"))
    clear(model, bias, torch.arange(3) == 1)
    assert dead(model, batch)[site.name].tolist() == [True, False, False]


def test_a_factor_that_is_off_by_chance_of_the_data_is_no_constant():
    model = tiny("llama", hidden_act="relu", mlp_bias=True)
    batch = batch_of(model)
    site = anatomy(model)["layers.0:neurons"]
    gate, up = (model.get_submodule(f"model.layers.0.mlp.{name}_proj") for name in ("gate", "up"))
    with torch.no_grad():
        up.weight[:3] = 0
        gate.bias[0] = -100  # closed for every token of the batch, but not for every input
        up.bias[1] = 0
        gate.weight[3] = 0
        gate.bias[3] = -1
    assert (~dead(model, batch)[site.name]).nonzero()[:, 0].tolist() == [1, 3]


@pytest.mark.parametrize(
    "lives",
    ["100 001 010", "101 111 110", "101 100 110", "000 110 011", "000 111 001", "000 000 000"],
)
def test_queries_go_as_far_as_every_group_has_dead_ones(lives):
    model = tiny("llama", heads=9, groups=3)
    batch = batch_of(model)
    groups = [[bit == "1" for bit in group] for group in lives.split()]
    fates = torch.where(torch.tensor(groups).flatten(), LIVE, UNREAD)
    kill(model, anatomy(model)["layers.1:queries"], fates)
    small = prunus.remove_dead(model, batch)
    live = [sum(group) for group in groups if any(group)]
    attention = small.model.layers[1].self_attn
    assert attention.k_proj.out_features == 8 * len(live)
    assert attention.q_proj.out_features == 8 * len(live) * max(live, default=0)
    assert far(outputs(small, batch), outputs(model, batch)) < 1e-5


@pytest.mark.parametrize("share", [0, 2**-20])
def test_a_bit_of_weight_is_life(share):
    model = tiny("bert")
    reader = model.get_submodule("bert.encoder.layer.1.output.dense")
    with torch.no_grad():
        reader.weight[:, 3] = 0
        reader.weight[7, 3] = share
    assert bool(dead(model)["encoder.layer.1:neurons"][3]) == (share > 0)
    assert isinstance(dead(model), Plan)
