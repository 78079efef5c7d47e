"""What cannot be exported or opened is told, and nothing is left half-written."""

import json
import subprocess
import sys
import zipfile

import pytest
import torch

from prunus import PrunusError
from prunus.adapt import attach
from prunus.export import Exported, export, load
from prunus.registry import build
from tests.export.conftest import EXPORTERS, exported, inputs
from tests.tiny import auto_heads, tiny

PT2 = build("export", "pt2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("pt2") / "out"
    exported(tiny("bert"), place, "pt2")
    return place


def test_adapters_are_merged_first(tmp_path):
    model = tiny("bert")
    attach(model, {"name": "lora", "match": ".*query"})
    with pytest.raises(PrunusError, match="merge it first"):
        exported(model, tmp_path / "out", "pt2")
    assert not list(tmp_path.iterdir())


def test_other_folders_are_kept(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(PrunusError, match="no export; name another"):
        exported(tiny("bert"), tmp_path, "pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_export_is_replaced(tmp_path):
    exported(tiny("bert"), tmp_path / "out", "pt2")
    exported(tiny("vit"), tmp_path / "out", "pt2")
    assert load(tmp_path / "out").config.model_type == "vit"


def test_answers_that_are_not_torchs_are_not_kept(tmp_path, monkeypatch):
    answer = Exported.forward

    def wrong(self, **given):
        out = answer(self, **given)
        out["logits"] = out["logits"] * 1.001
        return out

    monkeypatch.setattr(Exported, "forward", wrong)
    with pytest.raises(PrunusError, match="away from torch's, more than 1e-04: nothing is written"):
        exported(tiny("bert"), tmp_path / "out", "pt2")
    assert not list(tmp_path.iterdir())


def test_answers_that_are_no_numbers_are_not_kept(tmp_path, monkeypatch):
    answer = Exported.forward

    def wrong(self, **given):
        out = answer(self, **given)
        out["logits"][0] = torch.nan
        return out

    monkeypatch.setattr(Exported, "forward", wrong)
    with pytest.raises(PrunusError, match="answers are inf of the largest away"):
        exported(tiny("bert"), tmp_path / "out", "pt2")


@pytest.mark.parametrize(
    ("batches", "told"),
    [([], "no batches"), ([{"pixels": torch.ones(2, 3)}], "does not take pixels")],
)
def test_batches(batches, told, tmp_path):
    with pytest.raises(PrunusError, match=told):
        export(tiny("bert"), tmp_path / "out", PT2, batches)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_heads_that_read_where_texts_end(family, tmp_path):
    model = tiny(family, next(cls for cls in auto_heads(family) if "SequenceC" in cls))
    with pytest.raises(PrunusError, match=r"picks the states where texts end .* torch runs it"):
        exported(model, tmp_path / "out", "pt2")
    assert not list(tmp_path.iterdir())


def test_half_precision_models(tmp_path):
    model = tiny("bert").half()
    with pytest.raises(PrunusError, match="float16; give it in float32"):
        export(model, tmp_path / "out", PT2, [inputs(model, 2, 5)])


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_packages_that_are_missing(to, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, {"onnx": "onnxruntime"}.get(to, to), None)
    with pytest.raises(PrunusError, match=r'pip install "prunus\[export\]"'):
        exported(tiny("bert"), tmp_path / "out", to)


def test_inputs(folder):
    there, batch = load(folder), inputs(tiny("bert"), 2, 5)
    ids = batch["input_ids"]
    filled = there(input_ids=ids)
    assert torch.equal(filled.logits, there(input_ids=ids, attention_mask=ids * 0 + 1).logits)
    with pytest.raises(PrunusError, match="takes input_ids, attention_mask, not labels"):
        there(**batch, labels=torch.ones(2))
    with pytest.raises(PrunusError, match="needs 'input_ids'"):
        there(attention_mask=ids)


def test_no_export(tmp_path):
    with pytest.raises(PrunusError, match="is no exported model"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("export.json", "{", "export.json"),
        ("export.json", b"\xff\xfe", "export.json"),
        ("export.json", json.dumps({"to": "pt2"}), "the key 'format' is missing"),
        ("model.pt2", "no archive", "model.pt2: not readable"),
        ("config.json", "{", "config.json"),
    ],
)
def test_broken_files(name, text, told, tmp_path):
    exported(tiny("vit"), tmp_path / "out", "pt2")
    (tmp_path / "out" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PrunusError, match=told):
        load(tmp_path / "out")


@pytest.mark.parametrize(
    ("to", "file"), [("onnx", "model.onnx"), ("openvino", "openvino_model.xml")]
)
def test_broken_graphs(to, file, tmp_path):
    exported(tiny("clip"), tmp_path / "out", to)
    (tmp_path / "out" / file).write_text("no graph")
    with pytest.raises(PrunusError, match=f"{file}: not readable"):
        load(tmp_path / "out")


def test_openvino_tells_nobody():
    code = """
import sys
from prunus.registry import build
build("export", "openvino").require()
assert sys.modules["openvino"] and sys.modules["openvino_telemetry"] is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_archive_that_runs_code_is_not_opened(tmp_path):
    batch = {"input_ids": torch.randint(2, 50, (2, 8))}
    export(tiny("bert"), tmp_path / "out", build("export", "pt2"), [batch])
    fresh = tmp_path / "fresh.pt2"
    with zipfile.ZipFile(tmp_path / "out/model.pt2") as old, zipfile.ZipFile(fresh, "w") as new:
        for name in old.namelist():
            content = old.read(name).replace(b'"use_pickle": false', b'"use_pickle": true')
            new.writestr(name, content)
    fresh.replace(tmp_path / "out/model.pt2")
    with pytest.raises(PrunusError, match="pickled"):
        load(tmp_path / "out")


@pytest.mark.parametrize("to", EXPORTERS)
def test_what_a_runtime_refuses_is_told(to, tmp_path):
    batch = {"input_ids": torch.randint(2, 50, (2, 8))}
    export(tiny("bert"), tmp_path / "out", build("export", to), [batch])
    with pytest.raises(PrunusError, match=r"cannot run .*input_ids \(2, 8, 3\)"):
        load(tmp_path / "out")(input_ids=torch.randint(2, 50, (2, 8, 3)))


@pytest.mark.parametrize("token", [-1, 10**6])
def test_tokens_that_nobody_knows(folder, token):
    ids = torch.tensor([[2, token]])
    with pytest.raises(PrunusError, match=rf"input_ids holds tokens from .*{token}.*tokenizer"):
        load(folder)(input_ids=ids)
