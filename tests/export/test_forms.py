"""Checkpoints of every form are exported: what lies on the disk is what the graph computes."""

import json

import pytest
import torch

import prunus
from prunus import PrunusError
from prunus.adapt import attach
from prunus.checkpoint import load as opened
from prunus.checkpoint import save_adapters
from prunus.export import load
from prunus.plan import Plan
from prunus.recipe.export import write
from tests.checkpoint.test_packed import in_blocks
from tests.checkpoint.test_sentences import source as source
from tests.cli.conftest import prunus_ as prunus_
from tests.export.conftest import farthest, inputs, pruned
from tests.tiny import tiny
from tests.vocabulary.test_trim import TEXTS, wordpiece

PT2 = {"name": "pt2"}


def packed(folder):
    prunus.save(in_blocks(tiny("bert")), folder, packed=True)


def portable(folder):
    prunus.save(pruned("bert"), folder, portable=True)


def halved(folder):
    prunus.save(pruned("bert").to(torch.bfloat16), folder)


def trimmed(folder):
    model, tokenizer = prunus.trim_vocabulary(tiny("bert"), wordpiece(), TEXTS)
    prunus.save(model, folder, tokenizer)


@pytest.mark.parametrize("form", [packed, portable, halved, trimmed])
def test_forms(form, tmp_path):
    form(tmp_path / "model")
    written = write(str(tmp_path / "model"), PT2, quiet=True)
    model, there = opened(tmp_path / "model", dtype=torch.float32).eval(), load(written.folder)
    batch = inputs(tiny("bert"), 2, 6)
    batch["input_ids"] %= model.config.vocab_size
    with torch.no_grad():
        assert farthest(model(**batch), there(**batch)) <= 1e-4


def test_adapters_are_no_model(tmp_path):
    model = tiny("bert")
    attach(model, {"name": "lora", "match": ".*query"})
    save_adapters(model, tmp_path / "adapters", tiny("bert"), Plan({}))
    with pytest.raises(PrunusError, match=r"holds adapters alone: .* merge them"):
        write(str(tmp_path / "adapters"), PT2, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["adapters"]


def test_a_sentence_transformer_is_its_transformer(source, tmp_path):
    written = write(str(source), PT2, tmp_path / "out", quiet=True)
    assert written.left == ["Pooling", "Dense", "Normalize"]
    there, batch = load(tmp_path / "out"), inputs(tiny("mpnet"), 2, 6)
    with torch.no_grad():
        assert farthest(opened(source)(**batch), there(**batch)) <= 1e-4
    weights = {str(p.relative_to(written.folder)) for p in written.folder.rglob("*.safetensors")}
    assert weights == {"2_Dense/model.safetensors"}
    assert json.loads((written.folder / "modules.json").read_text())


def test_what_is_left_out_is_told(source, tmp_path, prunus_):
    out = tmp_path / "out"
    code, told, err = prunus_("export", source, "--to", "pt2", "--out", out)
    assert (code, err) == (0, "")
    assert "the graph is the transformer" in told
    assert "Pooling, Dense, Normalize" in told
