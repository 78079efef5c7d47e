"""Portable checkpoints: what their file says, and what prunus and transformers make of them."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, pipeline

import prunus
from prunus.anatomy import anatomy
from prunus.anatomy.mpnet import NoHeads as MPNetNoHeads
from prunus.anatomy.t5 import NoHeads as T5NoHeads
from prunus.checkpoint import FILE, load, save
from prunus.checkpoint._bundle import Bundle
from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.site import Site, expand
from tests.checkpoint.conftest import reopen, store, trusted
from tests.checkpoint.test_reload import pruned
from tests.contract.draw import KINDS, random_plan
from tests.recipes.dense import wordpiece
from tests.tiny import FAMILIES, auto_heads, batch_of, outputs, tiny


@pytest.fixture
def folder(tmp_path):
    """A portable BERT of uneven widths."""
    small, _ = pruned("bert", None, ("heads", "neurons"), 0)
    save(small, tmp_path / "model", portable=True)
    return tmp_path / "model"


@pytest.mark.parametrize("family", FAMILIES)
def test_with_prunus_it_opens_either_way_and_is_saved_in_either_form(family, tmp_path):
    small, batch = pruned(family, None, KINDS, 5)
    expected = outputs(small, batch)
    save(small, tmp_path / "first", portable=True)
    theirs, ours = trusted(tmp_path / "first"), load(tmp_path / "first")
    assert type(theirs).__name__ == type(ours).__name__
    assert type(ours) is type(small)
    theirs.save_pretrained(tmp_path / "theirs")
    save(theirs, tmp_path / "again", portable=True)
    save(load(tmp_path / "first"), tmp_path / "own")
    for name in ("first", "theirs", "again", "own"):
        assert torch.equal(outputs(load(tmp_path / name), batch), expected), name
    for name in ("first", "theirs", "again"):
        assert torch.equal(outputs(trusted(tmp_path / name), batch), expected), name
        assert (tmp_path / name / FILE).read_text() == (tmp_path / "first" / FILE).read_text()
    config = json.loads((tmp_path / "own/config.json").read_text())
    assert "auto_map" not in config
    assert config["model_type"] == type(small.config).model_type
    assert not (tmp_path / "own" / FILE).exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_pruned_again(family, tmp_path):
    small, batch = pruned(family, None, ("heads", "neurons"), 2)
    save(small, tmp_path / "model", portable=True)
    theirs, sites = trusted(tmp_path / "model"), anatomy(small)
    assert anatomy(theirs).tensors.shapes == sites.tensors.shapes
    assert dict(anatomy(theirs)) == dict(sites)
    plan = random_plan(sites.of("heads", "neurons"), 1, least=0)
    smaller = shrink(theirs, plan)
    assert torch.equal(outputs(smaller, batch), outputs(shrink(small, plan), batch))
    save(smaller, tmp_path / "again", portable=True)
    for again in (trusted(tmp_path / "again"), load(tmp_path / "again")):
        assert torch.equal(outputs(again, batch), outputs(shrink(small, plan), batch))


def test_a_recipe_prunes_it_from_either_opening(folder):
    for model in (trusted(folder), load(folder)):
        smaller = prunus.prune(model, [batch_of(model)], density=0.5)
        assert type(smaller).__module__ == "prunus.checkpoint._classes"
        assert smaller.num_parameters() < model.num_parameters()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_file_is_sound_and_the_same_each_time(family, tmp_path):
    small, _ = pruned(family, None, KINDS, 4)
    for name in ("one", "two"):
        save(small, tmp_path / name, portable=True)
    text = (tmp_path / "one" / FILE).read_text()
    assert text == (tmp_path / "two" / FILE).read_text()
    assert str(tmp_path) not in text
    assert f"made by prunus {version()}" in text
    imported = {
        node.module.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
    }
    assert imported - sys.stdlib_module_names <= {"torch", "transformers"}
    rules = ["--select", "F,I,PLE,B", "--isolated", "--line-length", "150"]
    linter = [Path(sys.executable).parent / "ruff", "check", *rules, tmp_path / "one" / FILE]
    done = subprocess.run(linter, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def version():
    from importlib.metadata import version

    return version("prunus")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_plain_stays_plain(family, tmp_path):
    model = tiny(family, layers=3)
    sites = anatomy(model)
    plan = {name: torch.arange(s.units) < 5 for name, s in sites.items() if s.kind == "neurons"}
    for index, small in enumerate((model, shrink(model, Plan(plan)))):
        save(small, tmp_path / "portable", portable=True)
        save(small, tmp_path / "usual")
        config = (tmp_path / "portable/config.json").read_text()
        assert config == (tmp_path / "usual/config.json").read_text()
        assert not (tmp_path / "portable" / FILE).exists(), index


def test_without_trust_the_stock_class_fails_loudly(tmp_path):
    for family in FAMILIES:
        small, batch = pruned(family, None, ("heads", "neurons"), 0)
        (cls,) = (c for c in auto_heads(family) if type(small).__name__.endswith(c))
        store(small, batch, tmp_path / family, auto_heads(family)[cls][-1:], portable=True)
    rows = reopen("plain", tmp_path)
    assert len(rows) == len(FAMILIES)
    assert [row for row in rows if "mismatch" not in row.get("error", "")] == []


def test_the_base_opens_and_another_head_does_not(folder):
    model = load(folder)
    inputs = {key: tensor for key, tensor in batch_of(model).items() if key != "labels"}
    base = trusted(folder, "AutoModel")
    assert type(base).__name__ == "PrunusBertModel"
    with torch.no_grad():
        expected = model.bert(**inputs).last_hidden_state
        assert torch.equal(base(**inputs).last_hidden_state, expected)
    with pytest.raises(RuntimeError, match="mismatch"):
        trusted(folder, "AutoModelForTokenClassification")


def test_a_missing_tensor_is_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["bert.encoder.layer.0.output.dense.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 tensors are missing \(bert\.encoder\.layer\.0"):
        trusted(folder)
    with pytest.raises(PrunusError, match="changed since"):
        load(folder)


def test_saved_over_itself(folder):
    model = trusted(folder)
    with torch.no_grad():
        model.classifier.bias.add_(1)
    model.save_pretrained(folder)
    for again in (trusted(folder), load(folder)):
        assert torch.equal(outputs(again, batch_of(again)), outputs(model, batch_of(again)))


def test_built_without_weights(folder):
    model = trusted(folder)
    auto = transformers.AutoModelForSequenceClassification
    built = auto.from_config(model.config, trust_remote_code=True)
    shapes = {name: tensor.shape for name, tensor in built.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("family", ["t5", "llama", "bert"])
def test_a_larger_vocabulary(family, tmp_path):
    cls = "BertForMaskedLM" if family == "bert" else None
    small, batch = pruned(family, cls, KINDS, 3, tie_word_embeddings=True)
    save(small, tmp_path / "model", portable=True)
    model = trusted(tmp_path / "model")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    model.resize_token_embeddings(60)
    model.save_pretrained(tmp_path / "more")
    for again in (trusted(tmp_path / "more"), load(tmp_path / "more")):
        assert again.get_input_embeddings().weight.shape[0] == 60
        assert torch.equal(outputs(again, batch), outputs(model, batch))


def test_half_precision(folder):
    half = trusted(folder, dtype=torch.bfloat16)
    ours = load(folder, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert torch.equal(outputs(half, batch_of(half)), outputs(ours, batch_of(ours)))


def test_a_tokenizer_and_a_pipeline(tmp_path):
    small, _ = pruned("bert", None, ("heads", "neurons"), 0)
    save(small, tmp_path / "model", wordpiece(), portable=True)
    text = "good film"
    ids = AutoTokenizer.from_pretrained(tmp_path / "model")(text)["input_ids"]
    assert ids == wordpiece()(text)["input_ids"]
    found = pipeline("text-classification", model=str(tmp_path / "model"), trust_remote_code=True)
    with torch.no_grad():
        share = small(torch.tensor([ids])).logits.softmax(-1).max()
    assert found(text)[0]["score"] == pytest.approx(float(share))


def test_a_base_alone(tmp_path):
    small, batch = pruned("bert", "BertModel", ("channels", "heads", "neurons"), 1)
    save(small, tmp_path, portable=True)
    again = AutoModel.from_pretrained(tmp_path, trust_remote_code=True)
    assert torch.equal(outputs(again, batch), outputs(small, batch))


def test_a_head_that_no_auto_class_opens_is_refused(tmp_path, monkeypatch):
    small, _ = pruned("bert", None, ("heads", "neurons"), 1)
    bases = [(AutoModel, (transformers.BertModel,))]
    monkeypatch.setattr("prunus.checkpoint._portable.auto_classes", lambda _: bases)
    with pytest.raises(PrunusError, match="no Auto class of transformers opens one"):
        save(small, tmp_path / "model", portable=True)
    assert not (tmp_path / "model").exists()


def test_a_bundle_stands_on_its_own():
    bundle = Bundle()
    for thing in (expand, Site):
        bundle.add(thing)
    text = "\n".join([bundle.imports, *bundle.parts.values()])
    assert "\n\nimport torch\nfrom torch import Tensor\n" in text
    defined = [node.name for node in ast.parse(text).body if hasattr(node, "name")]
    assert defined.index("PrunusError") < defined.index("Slice") < defined.index("Site")
    assert len(defined) == len(set(defined))
    assert "@dataclass(frozen=True)\nclass Site" in text
    assert "Axis = int | tuple[int, ...]" in text


def test_two_definitions_of_a_name_do_not_go_into_one_file():
    bundle = Bundle()
    bundle.add(T5NoHeads)
    with pytest.raises(PrunusError, match=r"both prunus\.anatomy\.mpnet and prunus\.anatomy\.t5"):
        bundle.add(MPNetNoHeads)
