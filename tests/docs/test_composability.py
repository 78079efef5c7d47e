"""The commands beside the thesis's run on tiny networks and data."""

import csv
import json
from pathlib import Path

import pytest

import prunus
from prunus.cli import main
from prunus.library import Library
from tests.docs.conftest import translators
from tests.docs.pages import ROOT, commands
from tests.recipes.dense import dense, reviews

COMMANDS = [own for own in commands(ROOT / "docs/from/composability.md") if len(own) > 2]
SMALL = ("calibration.samples=8", "calibration.batch_size=4")
BRIEF = ("latency=null", "evaluation.baselines=false")
TRAINED = (
    "drive.recovery=2 steps", "training.batch_size=4", "training.eval_steps=1",
    "training.warmup_steps=0",
)  # fmt: skip
TINY = {"library": SMALL, "run": (*SMALL, *BRIEF)}
MODULES = {
    "encoder.block.0.layer.0.SelfAttention": 0.5,
    "decoder.block.1.layer.1.EncDecAttention": 0.25,
    "encoder.block.0.layer.1.DenseReluDense.wi": 0.3,
    "encoder.block.0.layer.1.DenseReluDense.wo": 0.7,
    "decoder.block.0.layer.2.DenseReluDense.wo": 1,
}
"""A configuration of the thesis's: what is kept of each module."""


def of(name, *words):
    return [own for own in COMMANDS if own[0] == name and set(words) <= set(own)]


def tiny(arguments):
    """A command made short."""
    trains = arguments[1] == "composed/weights" and "drive.recovery=0" not in arguments
    more = TRAINED if arguments[0] == "run" and trains else ()
    words = [_small(own) for own in arguments]
    quiet = ["--quiet"] * (arguments[0] not in {"fetch", "plot"})
    return [*words, *TINY.get(arguments[0], ()), *more, *quiet]


def _small(word):
    """The classifier's data are reviews here."""
    if "glue" not in word:
        return word
    return "task={name: text_classification, data: reviews.csv, splits: {train: 24, validation: 8}}"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the page was followed from its first line to its last."""
    folder = tmp_path_factory.mktemp("composability")
    translators(folder)
    dense(folder / "runs/sst2-dense")
    reviews(folder / "reviews.csv")
    (folder / "conf.json").write_text(json.dumps([MODULES, {}]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PRUNUS_DATA", str(folder / "mirror"))
        patch.setenv("PRUNUS_LIBRARY", str(folder / "library"))
        for arguments in (*of("fetch"), *of("library")):
            assert main(tiny(arguments)) == 0, arguments
    return folder


@pytest.fixture
def here(here, monkeypatch):
    monkeypatch.setenv("PRUNUS_LIBRARY", str(here / "library"))
    return here


def _ran(arguments):
    out = Path(arguments[arguments.index("--out") + 1])
    if not (out / "report.json").is_file():
        assert main(tiny(arguments)) == 0, arguments
    return out, json.loads((out / "report.json").read_text())


@pytest.mark.parametrize("arguments", of("run"), ids=lambda own: own[-1])
def test_a_run_of_the_page_composes_what_was_tuned(arguments, here):
    out, told = _ran(arguments)
    found = told["library"]
    assert found["pick"] == 1
    assert found["used"] > 1
    plain = "recover=[]" in arguments
    if "weights" in arguments[1]:
        assert (found["tuned"] > 0) == plain  # all the others were tuned before
    trains = "weights" in arguments[1] and "drive.recovery=0" not in arguments
    assert bool(told["histories"]) == trains
    assert prunus.load(out / "model")


def test_plain_modules_are_those_of_the_dense_model(here):
    trained, plain = (
        _ran(of("run", f"runs/{name}-1-trained")[0]) for name in ("composed", "baseline")
    )
    rows = plain[1]["library"]["rows"]
    assert all(row["tuned"] == row["pruned"] for row in rows)
    assert any(row["tuned"] < row["pruned"] for row in trained[1]["library"]["rows"])
    assert trained[1]["density"] == plain[1]["density"]


def test_what_was_composed_is_evaluated_and_drawn(here, capsys):
    for arguments in of("run", "composed/weights"):
        _ran(arguments)
    for name in ("eval", "plot"):
        for arguments in of(name):
            assert main(tiny(arguments)) == 0
    assert "bleu" in capsys.readouterr().out.lower()
    with (here / "plots/reach.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert "amortised" in rows[0]


def test_the_schemes_name_what_they_were_asked_for(here):
    told = {
        name: json.loads(Path(f"{name}.json").read_text())
        for name in ("scheme", "neurons", "single")
    }
    kinds = {
        name: {site.rpartition(":")[2] for site in own["modules"]} for name, own in told.items()
    }
    assert kinds == {
        "scheme": {"heads", "grid"},
        "neurons": {"heads", "neurons"},
        "single": {"grid"},
    }
    assert all(len(own["configurations"]) == 2 for own in told.values())


def test_a_configuration_of_the_thesis_is_tuned_by_its_names(here):
    kept = {
        (entry.about["key"]["site"], round(entry.about["density"], 1))
        for entry in Library(here / "library").entries()
    }
    assert {
        ("encoder.block.0:heads", 0.5),
        ("encoder.block.0.layer.1.DenseReluDense.wi:grid", 0.3),
        ("encoder.block.0.layer.1.DenseReluDense.wo:grid", 0.7),
    } <= kept


def test_nothing_that_is_shown_is_left_out():
    assert {own[0] for own in COMMANDS} == {"fetch", "library", "run", "eval", "plot"}
    assert (len(of("library")), len(of("run"))) == (5, 5)
