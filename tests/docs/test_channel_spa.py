"""The commands beside the published ones run on tiny networks and data."""

import json

import pytest

import prunus
from prunus.adapt import adapted
from prunus.cli import main
from tests.docs.pages import ROOT, commands
from tests.pictures import mirror, resnet, vit

COMMANDS = [own for own in commands(ROOT / "docs/from/channel-spa.md") if len(own) > 2]
STOCK = {"microsoft/resnet-50": resnet, "google/vit-base-patch16-224": vit}
TINY = {
    "train": (
        "training.batch_size=4", "task.size=16", "training.max_steps=1", "training.evaluate=false",
    ),
    "check": ("calibration.samples=8",),
    "run": (
        "training.batch_size=4", "drive.recovery=.01", "calibration.samples=8", "latency=null",
        "evaluation.baselines=false",
    ),
}  # fmt: skip


def of(*names):
    return [own for own in COMMANDS if own[0] in names]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the trainings of the page have run, from tiny networks."""
    folder = tmp_path_factory.mktemp("channel-spa")
    for name, made in STOCK.items():
        made(folder / name, 1000)
    for name in ("cifar10", "cifar100"):
        mirror(folder / "mirror", name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PRUNUS_DATA", str(folder / "mirror"))
        for arguments in of("train"):
            assert main([*arguments, *TINY["train"], "--quiet"]) == 0
    return folder


def tiny(arguments):
    """A command made short; steps and amounts stay."""
    early = [f"{own.partition('=')[0]}=.01" for own in arguments if own.startswith("drive.before")]
    return [*arguments, *early, *TINY[arguments[0]]]


@pytest.mark.parametrize("arguments", of("run"), ids=lambda own: own[-1])
def test_a_run_of_the_page_leaves_a_small_plain_network(arguments, here):
    assert main([*tiny(arguments), "--quiet"]) == 0
    out = here / arguments[-1]
    told = json.loads((out / "report.json").read_text())
    small = prunus.load(out / "model")
    assert not adapted(small)
    assert sum(own.numel() for own in small.parameters()) == told["params"]["pruned"]
    assert told["params"]["pruned"] < told["params"]["dense"]
    if "adapt=null" in arguments:
        assert told["trained"] == told["params"]["pruned"]
    else:
        assert told["trained"] != told["params"]["pruned"]


@pytest.mark.parametrize("arguments", of("check"), ids=" ".join)
def test_a_preview_of_the_page_is_shown(arguments, here, capsys):
    assert main(tiny(arguments)) == 0
    assert "the recipe is sound" in capsys.readouterr().out


def test_nothing_that_is_shown_is_left_out():
    assert {own[0] for own in COMMANDS} == {*TINY, "study", "cp"}
    assert (len(of("train")), len(of("run"))) == (3, 5)
