"""Sentence-transformers folders: the transformer inside is pruned, all around it is kept."""

import json

import pytest
import torch
from safetensors.torch import save_file

import prunus
from prunus.checkpoint import load, save
from prunus.errors import PrunusError
from tests.tiny import batch_of, outputs, tiny

POOLING = {"embedding_dimension": 32, "pooling_mode": "mean"}
KEPT = ("README.md", "config_sentence_transformers.json", "1_Pooling/config.json")


def modules(*places):
    kinds = ("Transformer", "Pooling", "Dense", "Normalize")
    return [
        {"idx": i, "name": str(i), "path": place, "type": f"sentence_transformers.models.{kind}"}
        for i, (place, kind) in enumerate(zip(places, kinds, strict=True))
    ]


@pytest.fixture(params=["", "0_Transformer"])
def source(request, tmp_path):
    """A folder as sentence-transformers writes it, its transformer at the top or in a subfolder."""
    folder = tmp_path / "source"
    inner = folder / request.param
    tiny("mpnet", "MPNetModel").save_pretrained(inner)
    config = json.loads((inner / "config.json").read_text())
    config["architectures"] = ["MPNetForMaskedLM"]  # what it was trained from
    (inner / "config.json").write_text(json.dumps(config))
    (inner / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    (inner / "pytorch_model.bin").write_bytes(b"the dense weights again")
    for name in ("1_Pooling", "2_Dense"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(POOLING))
    save_file({"linear.weight": torch.eye(32)}, folder / "2_Dense/model.safetensors")
    (folder / "README.md").write_text("# A model")
    (folder / "config_sentence_transformers.json").write_text("{}")
    listed = modules(request.param, "1_Pooling", "2_Dense", "3_Normalize")
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder


def test_what_is_around_the_transformer_is_kept(source, tmp_path):
    model = load(source)
    assert type(model).__name__ == "MPNetModel"
    small = prunus.prune(model, [batch_of(model)], density=0.5)
    for place in ("small", "smaller"):
        save(small, tmp_path / place, around=source)
        again = load(tmp_path / place)
        assert torch.equal(outputs(again, batch_of(model)), outputs(small, batch_of(model)))
        kept = tmp_path / place
        for name in (*KEPT, "2_Dense/config.json", "2_Dense/model.safetensors"):
            assert (kept / name).read_bytes() == (source / name).read_bytes()
        assert (kept / "sentence_bert_config.json").read_text() == '{"max_seq_length": 32}'
        assert not (kept / "pytorch_model.bin").exists()
        told = json.loads((kept / "modules.json").read_text())
        assert told == modules("", "1_Pooling", "2_Dense", "3_Normalize")
        source, small = kept, prunus.prune(again, [batch_of(model)], density=0.7)


def test_a_plain_checkpoint_has_nothing_around(tmp_path):
    model = tiny("bert")
    save(model, tmp_path / "dense")
    save(model, tmp_path / "again", around=tmp_path / "dense")
    names = [{file.name for file in (tmp_path / place).iterdir()} for place in ("dense", "again")]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable"),
        ('[{"idx": 0}]', "not readable"),
        ('[{"path": "", "type": "models.WordEmbeddings"}]', r"only \['WordEmbeddings'\]"),
        ('[{"path": "../..", "type": "models.Transformer"}]', "outside of the checkpoint"),
    ],
)
def test_broken_modules_are_told(text, message, source, tmp_path):
    (source / "modules.json").write_text(text)
    with pytest.raises(PrunusError, match=message):
        load(source)
    with pytest.raises(PrunusError, match=message):
        save(tiny("mpnet"), tmp_path / "small", around=source)
    assert not (tmp_path / "small").exists()
