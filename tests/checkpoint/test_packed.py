"""Checkpoints without the zero blocks of weights: smaller on the disk, the same in memory."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel

import prunus
from prunus import networks
from prunus.anatomy import anatomy
from prunus.checkpoint import load, packable, save
from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from tests.checkpoint.conftest import reopen, store
from tests.tiny import FAMILIES, auto_heads, batch_of, outputs, tiny

FILE = "model.safetensors"


def in_blocks(model, tiling="4x4", density=0.3, seed=0):
    """The model, of whose weights as many blocks stay."""
    sites = anatomy(model).grid(".*", tiling, indivisible="skip")
    generator = torch.Generator().manual_seed(seed)
    plan = {n: torch.rand(s.shape, generator=generator) < density for n, s in sites.items()}
    return prunus.shrink(model, Plan(plan), sites)


def same(one, other):
    """Whether all tensors of two models are equal."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def some(model):
    """The model without a few neurons: other numbers in each layer."""
    sites = anatomy(model).of("neurons").items()
    return Plan({n: torch.arange(s.units) % 5 > i for i, (n, s) in enumerate(list(sites)[:2])})


def test_every_family_opens_in_a_fresh_process(tmp_path):
    expected = set()
    for seed, family in enumerate(FAMILIES):
        for cls, autos in list(auto_heads(family).items())[seed % 3 :: 3]:
            model = in_blocks(tiny(family, cls), seed=seed)
            if seed % 2:
                model = prunus.shrink(model, some(model))
            name = f"Prunus{cls}"
            store(model, batch_of(model), tmp_path / name, autos, packed=True)
            expected |= {(name, auto, name) for auto in autos}
    rows = reopen("prunus", tmp_path)
    assert [row for row in rows if not row.get("equal")] == []
    assert {(row["case"], row["auto"], row["class"]) for row in rows} == expected
    assert len(expected) > len(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_and_back(family, tmp_path):
    model = in_blocks(tiny(family))
    save(model, tmp_path / "dense")
    save(load(tmp_path / "dense"), tmp_path / "plain")
    before = type(model)
    save(model, tmp_path / "packed", packed=True)
    assert type(model) is before
    again = load(tmp_path / "packed")
    assert same(again, model)
    save(again, tmp_path / "back")
    assert type(load(tmp_path / "back")) is before
    plain, back = (load_file(tmp_path / name / FILE) for name in ("plain", "back"))
    assert plain.keys() == back.keys()
    assert all(torch.equal(plain[name], back[name]) for name in plain)
    configs = [json.loads((tmp_path / n / "config.json").read_text()) for n in ("plain", "back")]
    assert configs[0] == configs[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stock_class_fails_loudly(family, tmp_path):
    model = in_blocks(tiny(family))
    save(model, tmp_path, packed=True)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        type(model).from_pretrained(tmp_path)


def test_without_prunus_the_auto_classes_refuse(tmp_path):
    model = in_blocks(tiny("bert"))
    store(model, batch_of(model), tmp_path / "bert", ("AutoModel",), packed=True)
    (row,) = reopen("plain", tmp_path)
    assert "prunus_bert" in row["error"]


@pytest.mark.parametrize("density", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("tiling", ["32x32", "16x16", "4x1", "1xchannel", "channelx1"])
def test_the_size_is_the_density_times_the_dense_size(tiling, density, tmp_path):
    model = in_blocks(tiny("bert", width=128, intermediate_size=256), tiling, density)
    save(model, tmp_path / "plain")
    save(model, tmp_path / "packed", packed=True)
    weights = [own.weight for own in model.bert.encoder.modules() if isinstance(own, nn.Linear)]
    pooler = model.bert.pooler.dense.weight
    zeros = sum(int((own == 0).sum()) for own in (*weights, pooler))
    bits = sum(own.numel() for own in (*weights, pooler)) / (8 if tiling == "1x1" else 32)
    saved = sum(
        (tmp_path / name / FILE).stat().st_size * s for name, s in (("plain", 1), ("packed", -1))
    )
    assert 4 * zeros - bits - 4096 < saved <= 4 * zeros


def test_a_record_of_shapes_and_blocks(tmp_path):
    model = in_blocks(tiny("bert", width=64, intermediate_size=96), "32x32")
    save(model, tmp_path, packed=True)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "prunus_bert"
    assert config["prunus"]["format"] == 2
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    assert config["prunus"]["packed"][name] == {"shape": [96, 64], "block": [32, 32]}
    held, weight = load_file(tmp_path / FILE), model.get_parameter(name)
    live = weight.reshape(3, 32, 2, 32).transpose(1, 2).ne(0).any(3).any(2).flatten()
    assert held[name].shape == (int(live.sum()), 32, 32)
    assert held[f"{name}.live"].tolist() == [sum(2 ** (7 - i) for i in range(6) if live[i])]


def test_a_convolution_is_packed_by_places_of_its_kernel(tmp_path):
    made = networks.model_of("cifar_resnet")
    torch.manual_seed(0)
    model = in_blocks(made(made.config_class(depth=8)).eval(), "16x8")
    save(model, tmp_path / "packed", packed=True)
    again = load(tmp_path / "packed")
    assert same(again, model)
    record = json.loads((tmp_path / "packed/config.json").read_text())["prunus"]["packed"]
    assert [64, 64, 3, 3] in [told["shape"] for told in record.values()]
    save(model, tmp_path / "plain")
    sizes = [(tmp_path / name / FILE).stat().st_size for name in ("packed", "plain")]
    assert sizes[0] < 0.4 * sizes[1]


def test_a_weight_that_is_all_zeros(tmp_path):
    model = tiny("bert")
    with torch.no_grad():
        model.bert.encoder.layer[0].attention.self.query.weight.zero_()
    save(model, tmp_path, packed=True)
    assert same(load(tmp_path), model)


def test_tied_weights_are_packed_once(tmp_path):
    model = tiny("bert", "BertForMaskedLM", tie_word_embeddings=True)
    with torch.no_grad():
        model.get_input_embeddings().weight[10:30] = 0
    save(model, tmp_path, packed=True)
    again = load(tmp_path)
    assert same(again, model)
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    record = json.loads((tmp_path / "config.json").read_text())["prunus"]["packed"]
    assert list(record) == ["bert.embeddings.word_embeddings.weight"]


@pytest.mark.parametrize("kept", [True, False], ids=["cut", "whole"])
def test_a_packed_checkpoint_is_pruned_and_saved_again(kept, tmp_path):
    model = tiny("bert")
    if kept:
        model = shrink(model, Plan({"encoder.layer.0:neurons": torch.arange(24) < 16}))
    model = in_blocks(model)
    save(model, tmp_path / "packed", packed=True)
    again, batch = load(tmp_path / "packed"), batch_of(model)
    plan = Plan({"encoder.layer.1:heads": torch.tensor([True, False, True, True])})
    small = shrink(again, plan)
    assert torch.equal(outputs(small, batch), outputs(shrink(model, plan), batch))
    for packed in (True, False):
        save(small, tmp_path / "small", packed=packed)
        assert torch.equal(outputs(load(tmp_path / "small"), batch), outputs(small, batch))
    again.save_pretrained(tmp_path / "own")
    assert same(load(tmp_path / "own"), model)


def test_precision_and_device(tmp_path):
    model = in_blocks(tiny("t5"))
    save(model, tmp_path / "packed", packed=True)
    half = load(tmp_path / "packed", dtype=torch.bfloat16)
    assert same(half, model.bfloat16())
    assert same(load(tmp_path / "packed", device_map="cpu", dtype=torch.bfloat16), half)
    save(half, tmp_path / "half", packed=True)
    assert same(load(tmp_path / "half", dtype="auto"), half)
    sizes = [(tmp_path / name / FILE).stat().st_size for name in ("packed", "half")]
    assert sizes[1] < 0.75 * sizes[0]
    with pytest.raises(PrunusError, match="packed weights cannot stay on the disk"):
        load(tmp_path / "packed", device_map={"": "disk"}, offload_folder=tmp_path / "off")


def test_the_base_of_a_packed_model_opens_alone(tmp_path):
    model = in_blocks(tiny("bert"))
    save(model, tmp_path, packed=True)
    assert same(AutoModel.from_pretrained(tmp_path), model.bert)


def test_what_cannot_be_packed(tmp_path):
    model = tiny("bert")
    assert not packable(model)
    assert packable(in_blocks(model))
    with pytest.raises(PrunusError, match="hold no zeros whose place could be saved"):
        save(model, tmp_path / "dense", packed=True)
    with pytest.raises(PrunusError, match="packed and portable exclude each other"):
        save(in_blocks(model), tmp_path / "both", packed=True, portable=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda held, name: held.pop(f"{name}.live"),
        lambda held, name: held.update({name: held[name][1:].clone()}),
        lambda held, name: held.update({f"{name}.live": held[f"{name}.live"][:1].clone()}),
    ],
    ids=["no bits", "a block too few", "bits too few"],
)
def test_damage_is_told(damage, tmp_path):
    save(in_blocks(tiny("bert")), tmp_path, packed=True)
    held = load_file(tmp_path / FILE)
    name = next(name for name in held if f"{name}.live" in held)
    damage(held, name)
    save_file(held, tmp_path / FILE, {"format": "pt"})
    with pytest.raises(PrunusError, match="not the file that was saved"):
        load(tmp_path)
    (tmp_path / "prunus.json").unlink()
    with pytest.raises(PrunusError, match="not packed as the configuration says"):
        load(tmp_path)
