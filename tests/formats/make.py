"""Writes a file of each format as this prunus writes it, unless there is one of that version.

    PYTHONPATH=. python tests/formats/make.py

Files of older versions stay as they are: they say what has to be read for ever.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

import prunus
from prunus.adapt import attach, freeze
from prunus.anatomy import anatomy
from prunus.checkpoint import save, save_adapters
from prunus.drive import _scheme
from prunus.edit import shrink
from prunus.export._facts import Facts
from prunus.files import write_bytes
from prunus.library._module import encode
from prunus.plan import Plan
from prunus.recipe._parts import parts, resolved
from prunus.recipe._read import read, written
from prunus.safe import SafePoints
from prunus.sensitivity import Sensitivity
from prunus.study._result import result_of, saved
from tests.library.modules import key, module
from tests.report.sample import sample
from tests.tiny import scramble

HERE = Path(__file__).parent
SIZES = {
    "vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 8, "max_position_embeddings": 16,
}  # fmt: skip


def bert() -> BertForSequenceClassification:
    torch.manual_seed(0)
    return scramble(BertForSequenceClassification(BertConfig(**SIZES)).eval())


def plan() -> Plan:
    return Plan({"encoder.layer.0:neurons": torch.arange(8) < 3}, "tiny")


def whole_masks(path: Path) -> None:
    """Format 1 of plans, which nothing writes any more."""
    told = {"format": 1, "model": "tiny"}
    save_file(dict(plan()), path, {"prunus": json.dumps(told)})


def packed(path: Path) -> None:
    model = bert()
    with torch.no_grad():
        model.bert.encoder.layer[0].intermediate.dense.weight[:4] = 0
    save(model, path, packed=True)


def adapters(path: Path) -> None:
    base = bert()
    model = shrink(base, plan())
    attach(model, "splora")
    freeze(model)
    with torch.no_grad():
        for name, own in model.named_parameters():
            if "adapter" in name:
                nn.init.normal_(own, std=0.1)
    save_adapters(model, path, base, plan())


def sensitivity(path: Path) -> None:
    points = [{"units": 4, "density": 0.5, "loss": 0.25, "stderr": 0.1, "asked": [0.5]}]
    told = {
        "model": "tiny", "weights": "0" * 64, "task": "t", "score": {"name": "magnitude"},
        "split": "development", "samples": 4, "seconds": 1.0, "complete": True,
        "sites": [{"site": "encoder.layer.0:neurons", "kind": "neurons", "units": 8,
                   "points": points}],
    }  # fmt: skip
    write_bytes(path, Sensitivity.model_validate(told).model_dump_json().encode())


def export(path: Path) -> None:
    port = {"axes": ["batch", 4], "dtype": "int64"}
    graph = {"file": "model.onnx", "inputs": {"input_ids": port}, "outputs": {"logits": port}}
    told = {
        "to": "onnx", "dtype": "float32", "architecture": "BertModel", "graphs": {"model": graph},
        "difference": 0.0, "samples": 1, "versions": {"onnx": "1"},
    }  # fmt: skip
    Facts.model_validate(told).save(path.parent)
    (path.parent / "export.json").rename(path)


def training(path: Path) -> None:
    point = {"step": 0, "epoch": 0.0, "cpu": 0.0, "seconds": 0.0, "validation": 1.0}
    told = {"loss": 0.5, "history": [point], "kept": None, "quality": {"metric": "accuracy"}}
    path.write_text(json.dumps({"format": 1, "model": "m", "task": {}, "training": {}, **told}))


def recipe(path: Path) -> None:
    with TemporaryDirectory() as place:
        source = Path(place) / "asked.yaml"
        source.write_text("{model: m, task: {name: glue, subset: sst2}}")
        asked = read(source)
        path.write_text(written(resolved(asked, parts(asked))), encoding="utf-8")


def points(path: Path) -> None:
    kept = SafePoints.at(path, 0.0, 0)
    kept.put("a", prunus.safe.Kept({"b": 1}, {"c": torch.ones(2)}))
    kept.flush()


def unsaid(name: str) -> Callable[[Path], None]:
    """The same without its version, as it was once."""

    def make(path: Path) -> None:
        told = json.loads((HERE / name).read_text())
        del told["format"]
        path.write_text(json.dumps(told))

    return make


def listed(path: Path) -> None:
    """Results of a study as a bare list."""
    path.write_text(json.dumps(json.loads((HERE / "study-2.json").read_text())["results"]))


def without_grids(path: Path) -> None:
    """Adapters of format 1."""
    shutil.copytree(HERE / "adapters-2", path)
    told = json.loads((path / "adapters.json").read_text())
    del told["grids"]
    (path / "adapters.json").write_text(json.dumps({**told, "format": 1}))


FORMS = {
    "plan-1.safetensors": whole_masks,
    "plan-2.safetensors": lambda path: plan().save(path),
    "plan-2.json": lambda path: plan().save(path),
    "checkpoint-1": lambda path: save(shrink(bert(), plan()), path),
    "checkpoint-2": packed,
    "adapters-2": adapters,
    "entry-1.safetensors": lambda path: path.write_bytes(encode(key(), module())),
    "report-1.json": lambda path: path.write_text(sample().model_dump_json(indent=1)),
    "study-2.json": lambda path: path.write_text(json.dumps(saved((result_of("a", sample()),)))),
    "sensitivity-1.json": sensitivity,
    "export-1.json": export,
    "training-1.json": training,
    "scheme-1.json": lambda path: _scheme.write(path, [{"encoder.layer.0:neurons": 0.5}]),
    "recipe-1.yaml": recipe,
    "points-1": points,
    "report-0.json": unsaid("report-1.json"),
    "training-0.json": unsaid("training-1.json"),
    "scheme-0.json": unsaid("scheme-1.json"),
    "study-1.json": listed,
    "adapters-1": without_grids,
}

if __name__ == "__main__":
    assert "encoder.layer.0:neurons" in anatomy(bert())
    for name, make in FORMS.items():
        if not (HERE / name).exists():
            make(HERE / name)
            print(name)
