"""Exports and runtimes in a run: written from the saved model, measured, timed, told."""

import io
import json
import shutil
import sys

import pytest
import yaml
from rich.console import Console

import prunus
from prunus.cli import main
from prunus.errors import PrunusError
from prunus.export import Facts, load
from prunus.recipe import read
from prunus.recipe.bench import Asked, bench
from prunus.recipe.check import check
from prunus.recipe.checkpoints import evaluate
from prunus.recipe.run import run
from prunus.report import read as read_report
from prunus.report import tables
from tests.recipes.dense import recipe, wordpiece
from tests.tiny import tiny

ASKED = (
    "export=[openvino, {name: onnx, dtype: int8}]",
    "latency.runtime=[torch-eager, openvino]",
    "latency.batch=[1, 2]",
    "evaluation.baselines=false",
    "recover=[]",
    "score=magnitude",
    "select=greedy",
)
BARE = ("evaluation.baselines=false", "recover=[]", "score=magnitude", "select=greedy")


@pytest.fixture(scope="module")
def exported(place, tmp_path_factory):
    """The folder of a run with two exports, moved after it ended."""
    folder = tmp_path_factory.mktemp("exported")
    run(read(place / "recipe.yaml", ASKED), folder / "first", quiet=True)
    shutil.move(folder / "first", folder / "moved")
    return folder / "moved"


def test_exports_lie_in_the_run(exported):
    assert {path.name for path in exported.iterdir()} == {
        "model", "openvino", "onnx-int8", "plan.safetensors", "recipe.yaml", "report.json",
        "report.html", "run.log",
    }  # fmt: skip
    assert (exported / "openvino" / "tokenizer.json").is_file()
    assert not (exported / "openvino" / "README.md").exists()


def test_the_report_holds_what_was_measured_of_them(exported, place):
    report = read_report(exported)
    first, second = report.exports
    assert (first.to, first.dtype, first.folder) == ("openvino", "float32", "openvino")
    assert (second.to, second.dtype, second.folder) == ("onnx", "int8", "onnx-int8")
    assert 0 < first.difference < 1e-4 < second.difference
    assert (first.ahead, first.margin, first.samples) == (0, 0, 20)
    task = read(place / "recipe.yaml").task
    for own in report.exports:
        assert own.quality - report.quality.pruned == pytest.approx(own.ahead)
        assert evaluate(str(exported / own.folder), task, "validation", 8).value == own.quality
        facts = load(exported / own.folder).facts
        assert facts.quality["export"] == own.quality
        assert facts.quality["torch"] == report.quality.pruned
        assert facts.inputs == "examples of 'validation'"
    files = [exported / "openvino" / f"openvino_model.{end}" for end in ("xml", "bin")]
    assert first.bytes == sum(path.stat().st_size for path in files)
    assert report.seconds.model_dump()["export"] > 0


def test_both_runtimes_are_timed(exported):
    report = read_report(exported)
    assert report.untimed == {}
    calls = [(own.runtime, own.batch) for own in report.latency_ms]
    assert calls == [(name, n) for name in ("torch-eager", "openvino") for n in (1, 2)]
    eager, openvino = report.latency_ms[::2]
    assert eager.ideal == openvino.ideal > 1
    assert openvino.dense > 0


def test_they_are_told(exported):
    report = read_report(exported)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(*tables(report))
    page = (exported / "report.html").read_text()
    for text in (console.export_text(), page):
        assert "Exports" in text
        assert "onnx, int8" in text
        assert "openvino, 2 by 24 tokens, 1 thread" in text
    assert "torch-eager, CPU time, batch 2; openvino" in page
    card = (exported / "model" / "README.md").read_text()
    assert "- openvino, float32: accuracy" in card
    settings = yaml.safe_load((exported / "recipe.yaml").read_text())
    assert settings["export"] == [
        {"name": "openvino", "dtype": "float32"}, {"name": "onnx", "dtype": "int8"},
    ]  # fmt: skip
    assert settings["latency"]["runtime"] == ["torch-eager", "openvino"]


def test_bench_finds_the_model_that_an_export_came_from(exported, place, tmp_path):
    assert Facts.load(exported / "openvino").checkpoint == "../model"
    out = tmp_path / "dense"
    shutil.copytree(place / "dense", out)
    args = ("--to", "openvino", "--quiet")
    assert main(["export", str(out), *args]) == 0
    shutil.move(tmp_path, moved := tmp_path.with_name(f"{tmp_path.name}-moved"))
    asked = Asked(batch=1, length=8, pairs=1)
    found = bench(str(moved / "dense-openvino"), str(exported / "openvino"), asked, quiet=True)
    (cell,) = found.cells
    assert cell.latency.runtime == "openvino"
    assert cell.latency.ideal > 1.1


def test_an_export_of_a_trimmed_vocabulary(at, tmp_path):
    report = at(*BARE, "latency=null", "vocab=seen", "export=pt2")
    (own,) = report.exports
    assert (own.why, own.ahead, own.folder) == (None, 0, "pt2")
    assert report.vocabulary.tokens.pruned < report.vocabulary.tokens.dense


@pytest.mark.parametrize("kind", [PrunusError, RuntimeError])
def test_what_cannot_be_exported_or_timed_costs_no_run(at, tmp_path, monkeypatch, kind):
    def refused(*_, **__):
        raise kind("no such graph\nin this file")

    monkeypatch.setattr("prunus.export.export", refused)
    monkeypatch.setattr("prunus.recipe._runtimes.export", refused)
    report = at(*BARE, "export=onnx", "latency.runtime=[torch-eager, onnx, torch-sparse]")
    assert (tmp_path / "out" / "model" / "config.json").is_file()
    assert not (tmp_path / "out" / "onnx").exists()
    (own,) = report.exports
    assert (own.why, own.quality) == ("no such graph", None)
    assert {entry.runtime for entry in report.latency_ms} == {"torch-eager"}
    assert report.untimed["onnx"] == "no such graph"
    assert "neither model has weights with zeros" in report.untimed["torch-sparse"]
    log = (tmp_path / "out" / "run.log").read_text()
    assert "onnx: no such graph\nin this file\nTraceback" in log
    page = (tmp_path / "out" / "report.html").read_text()
    assert "not made: no such graph" in page
    assert "not measured" in page
    assert "## Exports" not in (tmp_path / "out" / "model" / "README.md").read_text()


def test_sparse_kernels_are_timed_on_what_is_left(tmp_path, in_process):
    sites = [{"grid": [32, 1], "match": ".*dense"}]
    path = recipe(tmp_path, sites=sites, budget={"density": 0.05, "metric": "weights"})
    model = tiny("bert", "BertForSequenceClassification", num_labels=2, intermediate_size=256,
                 hidden_size=128)  # fmt: skip
    prunus.save(model, tmp_path / "dense", wordpiece())
    changes = [*BARE, "latency={batch: 32, pairs: 1, runtime: torch-sparse}"]
    report = run(read(path, changes), tmp_path / "out", quiet=True)
    (entry,) = report.latency_ms
    assert entry.runtime == "torch-sparse"
    assert entry.ideal > 1.5 * report.flops.dense / report.flops.pruned


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("export=openvin", "Did you mean 'openvino'"),
        ("export=[pt2, {name: onnx, dtyp: int8}]", "export.1.dtyp: unknown key 'dtyp'"),
        ("export={name: onnx, dtype: bfloat16}", "onnx does not run bfloat16"),
        ("latency.runtime=openvin", "Did you mean 'openvino'"),
        ("latency.runtime=[]", "at least 1"),
        ("device=cuda latency.runtime=onnx", "only torch-eager runs on device 'cuda'"),
        ("compare=random latency.runtime=onnx", "baselines are timed by torch-eager"),
    ],
)
def test_bad_settings_are_told_at_once(place, change, told):
    with pytest.raises(PrunusError, match=told):
        read(place / "recipe.yaml", change.split(" ") if "latency" in change else [change])


def test_the_same_export_twice(place, tmp_path):
    asked = read(place / "recipe.yaml", ["export=[pt2, {name: pt2, dtype: float32}]"])
    with pytest.raises(PrunusError, match="pt2 is asked for twice"):
        run(asked, tmp_path / "out", quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "package"),
    [
        ("export=onnx", "onnxscript"),
        ("export={name: openvino, dtype: int8}", "nncf"),
        ("latency.runtime=openvino", "openvino"),
    ],
)
def test_missing_packages_are_told_before_anything_is_pruned(
    place, tmp_path, monkeypatch, change, package
):
    monkeypatch.setitem(sys.modules, package, None)
    asked = read(place / "recipe.yaml", [change])
    for carry_out in (check, lambda recipe: run(recipe, tmp_path / "out", quiet=True)):
        with pytest.raises(PrunusError, match=rf"{package}.*pip install") as told:
            carry_out(asked)
        assert "is needed" in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_the_budget_of_latency_speaks_of_torch(at, monkeypatch, tmp_path):
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path / "cache"))
    budget = {"density": 0.8, "metric": "latency", "at": {"batch": 2, "length": 24}}
    report = at(*BARE, f"budget={json.dumps(budget)}", "latency.runtime=onnx")
    assert [own.runtime for own in report.latency_ms] == ["onnx", "torch-eager"]
    assert [own.predicted is not None for own in report.latency_ms] == [False, True]
