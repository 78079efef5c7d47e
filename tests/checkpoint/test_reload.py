"""Pruned models open in a fresh process, with every task head, bit for bit."""

import json

import pytest
import torch

import prunus
from prunus.anatomy import anatomy
from prunus.checkpoint import adopt, load, save
from prunus.edit import shrink
from prunus.plan import Plan
from tests.checkpoint.conftest import reopen, store
from tests.contract.draw import KINDS, random_plan
from tests.tiny import FAMILIES, auto_heads, batch_of, far, outputs, tiny

RECIPES = (("heads", "neurons"), ("channels", "neurons"), ("sublayers", "heads"), KINDS)
ORDERS = {family: ("transformers", "prunus")[i % 2] for i, family in enumerate(FAMILIES)}


def sites_of(model, kinds):
    found = anatomy(model)
    return found.of(*{site.kind for site in found.values()}.intersection(kinds))


def pruned(family, cls, kinds, seed, **config):
    """(a shrunk model, a batch for it): non-uniform widths."""
    model = tiny(family, cls, layers=3, **config)
    small = adopt(shrink(model, random_plan(sites_of(model, kinds), seed, least=0)))
    return small, batch_of(model)


@pytest.mark.parametrize("portable", [False, True], ids=["own", "portable"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_head_opens_in_a_fresh_process(family, portable, tmp_path):
    expected = set()
    for seed, (cls, autos) in enumerate(auto_heads(family).items()):
        for turn in (0, 1):
            kinds = RECIPES[(2 * seed + turn) % len(RECIPES)]
            small, batch = pruned(family, cls, kinds, seed)
            name = f"{cls}-{'+'.join(kinds)}"
            store(small, batch, tmp_path / name, autos, portable)
            expected |= {(name, auto, type(small).__name__) for auto in autos}
    rows = reopen("portable" if portable else ORDERS[family], tmp_path)
    assert [row for row in rows if not row.get("equal")] == []
    assert {(row["case"], row["auto"], row["class"]) for row in rows} == expected
    assert any(name.startswith("Prunus") for _, _, name in expected)


def uniform(model, **kept):
    """A plan that keeps the same number of units in every layer, and layers by number."""
    plan = {}
    for name, site in anatomy(model).items():
        if site.kind == "layers":
            index = int(name.removesuffix(":layers").rpartition(".")[2])
            plan[name] = torch.tensor([index in kept.get("layers", range(99))])
        elif site.kind in kept:
            runs = torch.arange(site.run).roll(len(plan)) < kept[site.kind]
            plan[name] = runs.repeat(site.units // site.run)
    return Plan(plan)


UNIFORM = [
    ("bert", None, {"neurons": 13}),
    ("bert", "BertForMaskedLM", {"neurons": 5, "layers": (0, 2)}),
    ("bert", "BertModel", {"layers": (1,)}),
    ("t5", None, {"neurons": 9}),
    ("t5", "T5EncoderModel", {"neurons": 12, "layers": (0, 2)}),
    ("llama", None, {"heads": 2, "queries": 1, "neurons": 7}),
    ("llama", "LlamaForSequenceClassification", {"heads": 2}),
    ("llama", "LlamaModel", {"queries": 1, "layers": (0, 1)}),
    ("vit", None, {"heads": 3, "neurons": 11}),
    ("vit", "ViTModel", {"heads": 1, "layers": (2,)}),
    ("distilbert", None, {"neurons": 11, "layers": (0, 2)}),
    ("roberta", "RobertaForCausalLM", {"neurons": 7}),
    ("xlm_roberta", "XLMRobertaModel", {"layers": (1,)}),
    ("mpnet", "MPNetModel", {"neurons": 5, "layers": (0, 1)}),
    ("electra", "ElectraForMaskedLM", {"neurons": 7, "layers": (1, 2)}),
    ("deberta_v2", None, {"neurons": 9, "layers": (0, 2)}),
    ("deit", "DeiTForImageClassificationWithTeacher", {"heads": 3, "neurons": 11}),
    ("clip", None, {"neurons": 7, "layers": (2,)}),
    ("clip", "CLIPModel", {"neurons": 9, "layers": (0, 2)}),
    ("clip_text_model", None, {"neurons": 5, "layers": (1,)}),
    ("clip_vision_model", None, {"neurons": 6}),
    ("gpt2", None, {"neurons": 11, "layers": (0, 2)}),
    ("opt", "OPTModel", {"neurons": 7}),
    ("qwen2", None, {"heads": 2, "queries": 1, "layers": (0, 2)}),
    ("qwen3", "Qwen3ForSequenceClassification", {"heads": 1, "neurons": 5}),
    ("mistral", None, {"queries": 1, "neurons": 7, "layers": (1,)}),
    ("gemma", "GemmaModel", {"heads": 2, "layers": (1, 2)}),
    ("bart", None, {"neurons": 9, "layers": (0, 1)}),
    ("marian", None, {"neurons": 7}),
]


def test_uniform_widths_open_without_prunus(tmp_path):
    expected = {}
    for index, (family, cls, kept) in enumerate(UNIFORM):
        model = tiny(family, cls, layers=3, seed=index)
        small = shrink(model, uniform(model, **kept))
        autos = auto_heads(family)[type(model).__name__]
        folder = store(small, batch_of(model), tmp_path / str(index), autos)
        config = json.loads((folder / "config.json").read_text())
        assert config["model_type"] == model.config.model_type
        assert "prunus" not in config
        expected |= {(str(index), auto): type(model).__name__ for auto in autos}
    rows = reopen("plain", tmp_path)
    assert {(row["case"], row["auto"]): row.get("class") for row in rows} == expected
    assert [row for row in rows if not row["equal"]] == []


NOT_PLAIN = [
    ("bert", None, {"heads": 3}, {}),
    ("t5", None, {"heads": 3}, {}),
    ("t5", None, {"neurons": 0}, {}),
    ("llama", None, {"heads": 5, "neurons": 9}, {"heads": 6, "groups": 6}),
    ("vit", None, {"heads": 0}, {}),
    ("distilbert", None, {"heads": 3}, {}),
    ("mpnet", None, {"heads": 3}, {}),
    ("electra", None, {"heads": 3}, {}),
    ("deberta_v2", None, {"heads": 3}, {}),
    ("deit", None, {"heads": 0}, {}),
    ("clip", "CLIPModel", {"heads": 3, "neurons": 5}, {}),
    ("gpt2", None, {"heads": 3}, {}),
    ("gpt2", None, {"neurons": 0}, {}),
    ("opt", None, {"heads": 3}, {}),
    ("bart", None, {"heads": 3}, {}),
    ("marian", None, {"channels": 20}, {}),
    ("bert", "BertForMaskedLM", {"channels": 20}, {}),
]


@pytest.mark.parametrize(("family", "cls", "kept", "config"), NOT_PLAIN)
def test_what_the_stock_configuration_cannot_say_is_told_loudly(
    family, cls, kept, config, tmp_path
):
    model = tiny(family, cls, **config)
    small = adopt(shrink(model, uniform(model, **kept)))
    assert type(small).__name__ == f"Prunus{type(model).__name__}"
    save(small, tmp_path / "model")
    again = load(tmp_path / "model")
    assert torch.equal(outputs(again, batch_of(model)), outputs(small, batch_of(model)))
    with pytest.raises((RuntimeError, ValueError)):
        type(model).from_pretrained(tmp_path / "model")


def test_without_prunus_a_pruned_checkpoint_is_refused(tmp_path):
    for family in FAMILIES:
        small, batch = pruned(family, None, ("heads", "neurons"), 0)
        (cls,) = (c for c in auto_heads(family) if type(small).__name__.endswith(c))
        store(small, batch, tmp_path / family, auto_heads(family)[cls][-1:])
    rows = reopen("plain", tmp_path)
    assert len(rows) == len(FAMILIES)
    assert all("prunus_" in row["error"] for row in rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_tied_weights_are_tied_again(family, tmp_path):
    heads = auto_heads(family)
    cls = next((cls for cls in heads if cls.endswith("ForMaskedLM")), None)
    small, batch = pruned(family, cls, KINDS, 3, tie_word_embeddings=True)
    save(small, tmp_path / "model")
    again = load(tmp_path / "model")
    if small.get_output_embeddings() is not None:
        assert again.get_output_embeddings().weight is again.get_input_embeddings().weight
    assert anatomy(again).tensors.aliases == anatomy(small).tensors.aliases
    assert torch.equal(outputs(again, batch), outputs(small, batch))


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision(family, tmp_path):
    small, batch = pruned(family, None, ("heads", "neurons"), 1)
    save(small, tmp_path / "model")
    half = load(tmp_path / "model", dtype=torch.bfloat16)
    batch = {k: v.bfloat16() if v.is_floating_point() else v for k, v in batch.items()}
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    for parameter in small.parameters():
        parameter.data = parameter.data.bfloat16()
    assert torch.equal(outputs(half, batch), outputs(small, batch))
    save(half, tmp_path / "half")
    again = load(tmp_path / "half", dtype="auto")
    assert again.dtype == torch.bfloat16
    assert torch.equal(outputs(again, batch), outputs(half, batch))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kinds", [("heads", "neurons"), ("layers", "heads"), KINDS])
def test_a_pruned_model_is_pruned_again(family, kinds, tmp_path):
    model, batch = tiny(family, layers=4), None
    for turn in range(3):
        batch = batch_of(model)
        sites = sites_of(model, kinds)
        plan = random_plan(sites, turn, share=0.7)
        model = adopt(shrink(model, plan))
        save(model, tmp_path / "model")
        again = load(tmp_path / "model")
        assert torch.equal(outputs(again, batch), outputs(model, batch))
        assert anatomy(again).tensors.shapes == anatomy(model).tensors.shapes
        assert dict(anatomy(again)) == dict(anatomy(model))
        model = again if turn else model


def test_a_pruned_checkpoint_that_becomes_uniform_is_plain_again(tmp_path):
    model = tiny("bert")
    widths = {"encoder.layer.0:neurons": 20, "encoder.layer.1:neurons": 16}
    plan = {name: torch.arange(24) < width for name, width in widths.items()}
    save(shrink(model, Plan(plan)), tmp_path / "model")
    uneven = load(tmp_path / "model")
    assert type(uneven).__name__ == "PrunusBertForSequenceClassification"
    even = adopt(shrink(uneven, Plan({"encoder.layer.0:neurons": torch.arange(20) < 16})))
    assert type(even) is type(model)
    save(even, tmp_path / "even")
    config = json.loads((tmp_path / "even/config.json").read_text())
    assert config["model_type"] == "bert"
    assert "prunus" not in config
    again = type(model).from_pretrained(tmp_path / "even")
    assert torch.equal(outputs(again, batch_of(model)), outputs(even, batch_of(model)))


@pytest.mark.parametrize("family", FAMILIES)
def test_save_pretrained_will_do(family, tmp_path):
    model = tiny(family)
    small = prunus.prune(model, [batch_of(model)], density=0.5)
    small.save_pretrained(tmp_path)
    again = type(small).from_pretrained(tmp_path)
    assert type(again) is type(small)
    assert torch.equal(outputs(again, batch_of(model)), outputs(small, batch_of(model)))
    assert torch.equal(outputs(load(tmp_path), batch_of(model)), outputs(small, batch_of(model)))


def test_a_dense_model_is_saved_as_transformers_would(tmp_path):
    model = tiny("bert")
    save(model, tmp_path / "ours")
    model.save_pretrained(tmp_path / "theirs")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    assert type(load(tmp_path / "ours")) is type(model)


def test_the_record_is_readable():
    model = tiny("llama")
    kept = {"layers.0:heads": torch.tensor([1, 0, 1]), "layers.1:neurons": torch.arange(20) < 5}
    small = shrink(model, Plan(kept))
    assert small.config.prunus == {
        "format": 1,
        "kept": {"layers.0:heads": 2, "layers.1:neurons": 5},
    }


def test_training_goes_on_after_reloading(tmp_path):
    small, batch = pruned("t5", None, ("heads", "neurons"), 2)
    save(small, tmp_path / "model")
    again = load(tmp_path / "model").train()
    optimizer = torch.optim.SGD(again.parameters(), 0.01)
    before = again(**batch).loss
    before.backward()
    optimizer.step()
    assert far(again(**batch).loss.detach(), before.detach()) > 0
