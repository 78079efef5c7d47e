"""What was written once is read for ever, and what a newer prunus writes is told to be newer."""

import json
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import prunus
from prunus.checkpoint import load_adapters
from prunus.drive import _scheme
from prunus.errors import PrunusError
from prunus.export._facts import Facts
from prunus.formats import Format
from prunus.headers import header
from prunus.library._module import decode
from prunus.plan import Plan
from prunus.recipe import read as read_recipe
from prunus.report import read as read_report
from prunus.safe import SafePoints
from prunus.sensitivity import Sensitivity
from prunus.study._gathered import gather
from prunus.study._result import read_results
from tests.formats.make import FORMS, HERE, bert, plan
from tests.library.modules import equal, key, module
from tests.report.sample import sample


def named(reader, name):
    """A reader of a folder that holds a file of this name."""

    def read(path, tmp_path):
        shutil.copyfile(path, tmp_path / name)
        return reader(tmp_path)

    return read


READERS = {
    "plan": lambda path, _: Plan.load(path),
    "checkpoint": lambda path, _: prunus.load(path),
    "adapters": lambda path, _: load_adapters(bert(), path),
    "entry": lambda path, _: decode(path.read_bytes(), key().digest),
    "report": named(read_report, "report.json"),
    "study": named(read_results, "study.json"),
    "sensitivity": lambda path, _: Sensitivity.read(path),
    "export": named(Facts.load, "export.json"),
    "training": named(lambda folder: gather([folder]), "training.json"),
    "scheme": lambda path, _: _scheme.read(path),
    "recipe": lambda path, _: read_recipe(path),
    "points": lambda path, _: SafePoints.at(path, 0.0, 0).get("a"),
}
EXPECTED = {
    "plan": lambda found: found == plan(),
    "checkpoint": lambda found: type(found).__name__ == "PrunusBertForSequenceClassification",
    "adapters": lambda found: found,
    "entry": lambda found: equal(found, module()),
    "report": lambda found: found == sample(),
    "study": lambda found: [one.name for one in found] == ["a"],
    "sensitivity": lambda found: found.sites[0].points[0].loss == 0.25,
    "export": lambda found: found.graphs["model"].file == "model.onnx",
    "training": lambda found: found[0].histories[0].points[0].validation == 1.0,
    "scheme": lambda found: found[0] == [{"encoder.layer.0:neurons": 0.5}],
    "recipe": lambda found: found.task["subset"] == "sst2",
    "points": lambda found: (found.said, found.tensors["c"].tolist()) == ({"b": 1}, [1, 1]),
}  # fmt: skip


def kind(name: str) -> str:
    return name.partition("-")[0]


@pytest.mark.parametrize("name", FORMS)
def test_every_version_is_read(name, tmp_path):
    assert EXPECTED[kind(name)](READERS[kind(name)](HERE / name, tmp_path))


def test_every_kind_has_a_reader():
    assert {kind(name) for name in FORMS} == set(READERS)


def newer(text: str) -> str:
    """The same of a version that is yet to come; JSON in JSON keeps its quotes."""
    return re.sub(r'(format(?:\\?")?: ?)\d', r"\g<1>9", text, count=1)


SAID = [name for name in FORMS if name.endswith(("json", "yaml")) and "-0" not in name]


@pytest.mark.parametrize("name", [name for name in SAID if name != "study-1.json"])
def test_a_newer_one_is_told(name, tmp_path):
    path = tmp_path / name
    path.write_text(newer((HERE / name).read_text()))
    with pytest.raises(PrunusError, match="format 9 and was written by a newer prunus"):
        READERS[kind(name)](path, tmp_path)


@pytest.mark.parametrize("name", ["plan-2.safetensors", "entry-1.safetensors"])
def test_a_newer_file_of_tensors_is_told(name, tmp_path):
    metadata = {"prunus": newer(header(HERE / name).metadata["prunus"])}
    save_file(load_file(HERE / name), tmp_path / name, metadata)
    with pytest.raises(PrunusError, match="format 9 and was written by a newer prunus"):
        READERS[kind(name)](tmp_path / name, tmp_path)


@pytest.mark.parametrize("name", ["checkpoint-1", "adapters-2", "points-1"])
def test_a_newer_folder_is_told(name, tmp_path):
    folder = shutil.copytree(HERE / name, tmp_path / name)
    for path in folder.glob("*.json"):
        said = json.loads(path.read_text())
        held = said["prunus"] if path.name == "config.json" else said
        if path.name != "prunus.json":
            held["format"] = 9
        path.write_text(json.dumps(said))
    with pytest.raises(PrunusError, match="format 9 and was written by a newer prunus"):
        READERS[kind(name)](folder, tmp_path)


def test_older_versions_are_brought_up_step_by_step():
    form = Format("thing", 3, {1: lambda s: {**s, "b": s["a"]}, 2: lambda s: {**s, "c": s["b"]}}, 1)
    assert form.current({"a": 1}) == {"format": 3, "a": 1, "b": 1, "c": 1}
    assert form.current({"format": 3, "c": 2}) == {"format": 3, "c": 2}


@pytest.mark.parametrize("said", [[], {"format": 0}, {"format": "1"}, {"format": True}, {}, None])
def test_what_is_no_version_is_refused(said):
    with pytest.raises(PrunusError, match="no thing"):
        Format("thing", 2, {1: dict}).current(said)


def test_files_are_small():
    assert all(path.stat().st_size < 65536 for path in Path(HERE).rglob("*"))
