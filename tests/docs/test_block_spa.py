"""The commands beside those of block-spa-experiments run on tiny networks and data."""

import json
import os
import shutil
from pathlib import Path

import pytest

import prunus
from prunus.adapt import adapted
from prunus.cli import main
from tests import berts
from tests.docs.pages import ROOT, commands

COMMANDS = list(commands(ROOT / "docs/from/block-spa.md"))
BOOK = Path(os.environ.get("PRUNUS_DATA", "/nowhere")) / "hparams/hyperparameters.xlsx"
FEW = ("training.max_steps=2", "training.batch_size=4", "training.warmup_steps=0")
AT_ONCE = ("drive.schedule.warmup=0", "drive.schedule.cooldown=0", "drive.schedule.every=1")
SPARED = (
    "calibration.samples=4", "calibration.batch_size=4", "latency=null",
    "evaluation.baselines=false",
)  # fmt: skip
TINY = {
    "train": ("training.max_steps=1", "training.batch_size=4", "task.splits={}"),
    "run": (*FEW, *AT_ONCE, *SPARED),
    "study": (*FEW, *AT_ONCE, *SPARED, "--workers", "0"),
}


def of(*names):
    return [own for own in COMMANDS if own[0] in names and len(own) > 2]


def tiny(arguments):
    """A command made short."""
    return [*arguments, *TINY[arguments[0]], "--quiet"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the trainings of the page have run, from tiny networks."""
    folder = tmp_path_factory.mktemp("block-spa")
    berts.mirror(folder / "mirror")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PRUNUS_DATA", str(folder / "mirror"))
        for arguments in of("train"):
            out = Path(arguments[-1])
            berts.dense(folder / "start", out.name.rpartition("-")[2])
            start = ["model=start" if own.startswith("model=") else own for own in arguments]
            assert main(tiny(start)) == 0
    return folder


def test_the_trainings_leave_the_networks_that_the_sheet_asks_for(here):
    assert {own.name for own in (here / "runs/dense").iterdir()} == {
        f"bert-base-{task}" for task in berts.TASKS
    }


@pytest.mark.parametrize("arguments", of("run"), ids=lambda own: own[-1])
def test_a_run_of_the_page_leaves_a_plain_network(arguments, here):
    assert main(tiny(arguments)) == 0
    out = here / arguments[-1]
    told = json.loads((out / "report.json").read_text())
    assert not adapted(prunus.load(out / "model"))
    everything = "splopa" not in arguments[1] or "adapt=null" in arguments
    assert (told["trained"] is None or told["trained"] == told["params"]["dense"]) == everything
    density = [own.partition("=")[2] for own in arguments if own.startswith("budget.density")]
    if density:
        assert told["density"]["of_sites"] <= float(density[0])


def test_what_was_run_is_shown_evaluated_and_packed(here, capsys):
    run = next(own for own in of("run") if own[-1] == "runs/squad")
    assert main(tiny([*run, "budget.density=.3"])) == 0
    for arguments in (own for own in of("show", "eval", "save") if "runs/squad/model" in own):
        assert main(arguments) == 0, arguments
    assert "f1" in capsys.readouterr().out.lower()


@pytest.mark.slow
@pytest.mark.skipif(not BOOK.is_file(), reason="the published sheet is not here")
def test_a_study_of_the_page_runs_its_row(here):
    shutil.copy(BOOK, here)
    first, *_ = (own for own in of("study") if own[1] == "run")
    assert main(tiny(first)) == 0
    out = here / first[-1]
    assert [own.parent.name for own in out.glob("*/report.json")] == ["squad-e2-soft-movement-28.8"]
    assert main(["study", "show", str(out)]) == 0


def test_nothing_that_is_shown_is_left_out():
    names = {"train", "run", "check", "study", "show", "eval", "save"}
    assert {own[0] for own in COMMANDS} == names
    assert (len(of("train")), len(of("run"))) == (3, 6)
