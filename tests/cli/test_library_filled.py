import json
import re
from pathlib import Path

import pytest

from prunus.drive._configurations import Configurations
from prunus.library import Library
from tests.recipes.dense import recipe

FOUR = {"heads": [0.25, 0.5], "neurons": [0.5, 0.5]}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Writes the recipe of a tiny BERT with a library, and gives its path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNUS_LIBRARY", str(tmp_path / "library"))

    def made(**changes):
        usual = {
            "drive": {"name": "library", "configurations": FOUR},
            "budget": {"density": 1.0},
            "score": "magnitude",
            "recover": ["least_squares"],
            "latency": None,
            "evaluation": {"baselines": False},
        }
        return recipe(tmp_path, **{**usual, **changes})

    return made


def _scheme():
    return json.loads(Path("scheme.json").read_text())


def test_a_scheme_says_which_modules_there_are_and_what_is_known(prunus_, made, tmp_path):
    file = made()
    code, out, err = prunus_("library", "scheme", file, "--out", "scheme.json", "-n", "2")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "2 configurations have 8 modules, 6 of them distinct; 0 of those are in"
        f" {tmp_path / 'library'}",
        "scheme: scheme.json",
    ]
    assert _scheme()["modules"]["encoder.layer.0:heads"] == [0.25, 0.5]
    assert _scheme()["modules"]["encoder.layer.1:neurons"] == [0.5]
    assert Configurations.parse("scheme.json").notes == ()
    assert Configurations.parse("scheme.json").every == tuple(_scheme()["configurations"])
    assert prunus_("library", "tune", file, "drive.configurations=scheme.json")[0] == 0
    out = prunus_("library", "scheme", file, "--out", "scheme.json")[1]
    assert "6 of those are in" in out


def test_densities_of_the_command_line_go_before_those_of_the_recipe(prunus_, made):
    line = ["--attention", ".5", "1", "--linear", ".25", ".25"]
    assert prunus_("library", "scheme", made(), *line, "--out", "scheme.json", "--quiet") == (
        0, "", "",
    )  # fmt: skip
    first, second = _scheme()["configurations"]
    assert first["encoder.layer.0:heads"] == 0.5
    assert second == {"encoder.layer.0:neurons": 0.25, "encoder.layer.1:neurons": 0.25}


def test_linear_stands_for_grids_where_there_are_no_neurons(prunus_, made):
    grid = {"grid": "1x1", "match": r".*\d\.(intermediate|output)\.dense"}
    drive = {"name": "library", "configurations": [{"heads": 0.5}]}
    line = ["--attention", ".5", "--linear", ".3", "--out", "scheme.json"]
    file = made(sites=["heads", grid], drive=drive, recover=[])
    assert prunus_("library", "scheme", file, *line)[0] == 0
    assert {site.rpartition(":")[2]: own for site, own in _scheme()["modules"].items()} == {
        "heads": [0.5], "grid": [0.3],
    }  # fmt: skip
    assert len(_scheme()["modules"]) == 6


def test_what_was_tuned_is_what_a_run_composes_of(prunus_, made, tmp_path):
    file = made()
    code, out, err = prunus_("library", "tune", file)
    assert (code, err) == (0, "")
    assert "0 were in the library, 6 were tuned in" in " ".join(out.split())
    assert out.count("│ tuned │") == 6
    assert len(list(Library(tmp_path / "library").entries())) == 6
    again = prunus_("library", "tune", file)[1]
    assert "6 were in the library, 0 were tuned" in " ".join(again.split())
    assert again.count("│ reused │") == 6
    assert prunus_("run", file, "drive.tune=false", "--out", "out", "--quiet")[0] == 0
    told = json.loads((tmp_path / "out/report.json").read_text())["library"]
    assert (told["reused"], told["tuned"], told["used"]) == (6, 0, 4)


def test_what_a_search_asks_for_is_measured_when_modules_are_tuned(prunus_, made, tmp_path):
    drive = {"name": "library", "densities": [0.25, 0.5]}
    file = made(drive=drive, budget={"density": 0.5})
    out = prunus_("library", "tune", file)[1]
    assert "There are 8 distinct modules" in out
    kept = [entry.about["figures"] for entry in Library(tmp_path / "library").entries()]
    assert len(kept) == 8
    assert all(own["loss"] > 0 for own in kept)
    assert prunus_("run", file, "--out", "out", "--quiet")[0] == 0
    told = json.loads((tmp_path / "out/report.json").read_text())["library"]
    assert told["reused"] == 8
    assert sorted(one["loss"] for one in told["rows"]) == sorted(own["loss"] for own in kept)


@pytest.mark.slow
def test_many_processes_tune_shares_of_what_is_missing(prunus_, made, tmp_path):
    file = made()
    line = "drive.configurations={heads: [0.25], neurons: [0.5]}"
    assert prunus_("library", "tune", file, line, "--quiet")[0] == 0
    code, out, err = prunus_("library", "tune", file, "--workers", "2")
    assert code == 0
    assert sorted(re.findall(r"share-(\d): done", err)) == ["1", "2"]
    assert "6 were in the library" in " ".join(out.split())
    assert "2 of them were tuned just now, in 2 shares" in " ".join(out.split())
    shelf = Library(tmp_path / "library")
    assert len(list(shelf.entries())) == 6
    log = (tmp_path / "library/tune.log").read_text()
    named = re.findall(r"share-\d started: (.*)", log)
    assert sorted(", ".join(named).split(", ")) == [
        "encoder.layer.0:heads 2 of 4", "encoder.layer.1:heads 2 of 4",
    ]  # fmt: skip
    assert prunus_("library", "tune", file, "--workers", "2")[2] == ""


@pytest.mark.slow
def test_shares_that_fail_are_told(prunus_, made):
    line = ("drive.tune=false", "--workers", "2", "--quiet")
    code, _, err = prunus_("library", "tune", made(), *line)
    assert code == 2
    assert "2 of 2 shares of the modules failed:" in err
    assert "tune: false" in err


def test_an_edited_scheme_is_told_in_the_report(prunus_, made, tmp_path):
    file = made()
    prunus_("library", "scheme", file, "--out", "scheme.json")
    said = _scheme()
    said["configurations"][0]["encoder.layer.0:heads"] = 0.75
    (tmp_path / "scheme.json").write_text(json.dumps(said))
    over = "drive.configurations=scheme.json"
    code, out, err = prunus_("run", file, over, "--out", "out")
    assert (code, out) == (2, "")
    assert "its configurations have encoder.layer.0:heads at 0.5, 0.75" in err
    assert "its modules at 0.25, 0.5" in err
    del said["modules"]
    (tmp_path / "scheme.json").write_text(json.dumps(said))
    code, out, _ = prunus_("run", file, over, "--out", "out")
    assert code == 0
    assert "scheme.json was edited since it was written" in " ".join(out.split())
    told = json.loads((tmp_path / "out/report.json").read_text())
    assert told["library"]["notes"][0].startswith("scheme.json was edited")


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, ["--attention", ".25", ".5", "--linear", ".3"], "heads 2, neurons 1"),
        ({}, ["--attention", ".25", ".5", "-n", "3"], "3 configurations were asked for (-n), but"),
        ({}, ["-n", "4"], "but 2 are named"),
        ({}, ["--attention", "1.5"], "above 0 and at most 1"),
        ({"sites": "neurons", "drive": {"name": "library", "configurations": [{"neurons": 0.5}]}},
         ["--attention", ".5"], "the recipe's sites are neurons, and heads are none of them"),
        ({"drive": {"name": "library", "densities": [0.5]}}, [], "densities to search among"),
        ({"drive": "oneshot"}, [], "drive: oneshot has no library of modules"),
    ],
)  # fmt: skip
def test_bad_input_is_answered(prunus_, made, changes, arguments, message):
    code, out, err = prunus_("library", "scheme", made(**changes), *arguments, "--out", "s.json")
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


def test_only_a_recipe_with_a_library_fills_one(prunus_, made):
    code, _, err = prunus_("library", "tune", made(drive="oneshot"))
    assert code == 2
    assert "drive: oneshot has no library of modules; the recipe `composed` has one" in err


def test_a_check_shows_the_configuration_that_is_picked(prunus_, made):
    code, out, err = prunus_("check", made(), "drive.pick=1")
    assert (code, err) == (0, "")
    assert "budget: as configuration 1 says, metric flops" in out
    assert re.search(r"units +│ +56 │ +56 │ +28 │", out)
    code, _, err = prunus_("check", made(), "drive.configurations=[{head: .5}]")
    assert code == 2
    assert "'head'. Did you mean 'heads'?" in err
