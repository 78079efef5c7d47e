"""Running sheets: one folder a row, finished rows once, failures told at the end."""

import json

import pytest
import yaml

from prunus.cli import main
from prunus.errors import PrunusError
from prunus.recipe import read
from prunus.recipe.run import run
from prunus.report._units import MINUS
from prunus.study import _job, _run, read_sheet
from prunus.study._result import result

ROWS = (
    {"name": "half", "published": {"dense": 0.6, "pruned": 0.57, "drop": -5, "ratio": 0.4}},
    {"name": "third", "budget.density": 0.3},
    {"name": "blind", "score": "magnitude", "select": "greedy", "recover": []},
)


@pytest.fixture
def sheet(place, tmp_path, in_process):
    def sheet(*rows):
        said = {"recipe": str(place / "recipe.yaml"), "rows": list(rows)}
        (tmp_path / "sheet.yaml").write_text(yaml.safe_dump(said))
        return tmp_path / "sheet.yaml"

    return sheet


@pytest.fixture
def ran(monkeypatch):
    """The names of the folders that were really run."""
    names = []

    def spied(recipe, out, quiet, **how):
        names.append(out.name)
        return run(recipe, out, quiet, **how)

    monkeypatch.setattr(_job, "run", spied)
    return names


def study(path, tmp_path, *only):
    return _run.study(read_sheet(path), tmp_path / "out", only, quiet=True)


def test_each_row_runs_once_into_its_own_folder(sheet, tmp_path, place, ran):
    path = sheet(*ROWS)
    found = study(path, tmp_path)
    assert ran == ["half", "third", "blind"]
    assert (found.failed, found.waiting) == ({}, ())
    again = study(path, tmp_path)
    assert ran == ["half", "third", "blind"]
    assert again == found
    for one, row in zip(found.results, ROWS, strict=True):
        report = json.loads((tmp_path / "out" / row["name"] / "report.json").read_text())
        assert (one.name, one.metric) == (row["name"], "accuracy")
        assert (one.dense, one.pruned) == (report["quality"]["dense"], report["quality"]["pruned"])
        assert one.density == report["density"]["of_sites"]
        assert one.seconds == report["seconds"]["total"] > 0
        assert one.drop == pytest.approx(100 * (one.pruned - one.dense) / one.dense)
    assert found.results[0].density > found.results[1].density


def test_the_table_stands_beside_what_is_published(sheet, tmp_path):
    found = study(sheet(*ROWS), tmp_path)
    told = json.loads((tmp_path / "out/study.json").read_text())["results"]
    assert [one["name"] for one in told] == ["half", "third", "blind"]
    assert told[0]["published"]["drop"] == -5
    assert told[0]["drop"] == found.results[0].drop
    assert told[1]["recipe"]["budget"]["density"] == 0.3
    head, _, first, second, *_ = (tmp_path / "out/study.md").read_text().splitlines()
    titles, cells, others = (
        [cell.strip() for cell in line.split("|")] for line in (head, first, second)
    )
    assert cells[1:3] == ["half", "accuracy"]
    said = {"dense": "60.00", "pruned": "57.00", "drop": f"{MINUS}5.00", "removed": "0.4000"}
    for key, value in said.items():
        place = titles.index(f"published {key}")
        assert (cells[place], others[place]) == (value, "")


def test_without_published_numbers_there_are_no_columns_for_them(sheet, tmp_path):
    study(sheet(ROWS[1]), tmp_path)
    assert "published" not in (tmp_path / "out/study.md").read_text()


def test_a_failing_row_does_not_stop_the_others(sheet, tmp_path, ran, capsys):
    path = sheet({"name": "broken", "model": "no/such"}, ROWS[0])
    assert main(["study", "run", str(path), "--workers", "0", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert "1 of 2 rows failed:\nbroken: " in told.err
    assert "1/2 broken: failed, model 'no/such'" in told.err
    assert "2/2 half: done" in told.err
    assert "model 'no/such' was not found" in told.err
    assert "half" in told.out
    assert ran == ["broken", "half"]
    assert "Traceback" in (tmp_path / "out/study.log").read_text()
    assert (
        main(
            ["study", "run", str(path), "--workers", "0", "--out", str(tmp_path / "out"), "--quiet"]
        )
        == 2
    )
    assert ran == ["broken", "half", "broken"]


def test_what_nobody_foresaw_does_not_stop_the_others_either(sheet, tmp_path, monkeypatch):
    def run_out(recipe, out, quiet, **how):
        raise MemoryError("too large")

    monkeypatch.setattr(_job, "run", run_out)
    found = study(sheet(*ROWS), tmp_path)
    assert found.failed["half"] == "MemoryError: too large"
    assert len(found.failed) == 3


def test_an_interrupted_study_goes_on(sheet, tmp_path, ran, monkeypatch):
    path = sheet(*ROWS)

    def interrupted(recipe, out, quiet, **how):
        if out.name == "third":
            raise KeyboardInterrupt
        return run(recipe, out, quiet, **how)

    with monkeypatch.context() as broken:
        broken.setattr(_job, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            study(path, tmp_path)
    study(path, tmp_path)
    assert ran == ["third", "blind"]


def test_only_some_rows(sheet, tmp_path, ran, capsys):
    path = sheet(*ROWS)
    out = ("--workers", "0", "--out", str(tmp_path / "out"))
    assert main(["study", "run", str(path), "--rows", "third", *out]) == 0
    assert "not run: half" in capsys.readouterr().out
    assert main(["study", "run", str(path), "--rows", "blind", "--rows", "half", *out]) == 0
    assert ran == ["third", "half", "blind"]
    assert "not run" not in capsys.readouterr().out
    with pytest.raises(PrunusError, match=r"unknown row 'thirdd'\. Did you mean 'third'"):
        study(path, tmp_path, "thirdd")


def test_a_folder_of_another_recipe_is_told_before_anything_runs(sheet, tmp_path, ran):
    study(sheet(*ROWS[:1]), tmp_path)
    changed = sheet({"name": "first"}, {**ROWS[0], "budget.density": 0.4, "seed": 3})
    with pytest.raises(
        PrunusError, match=r"row half: .*half holds the run .* another budget, .*seed"
    ):
        study(changed, tmp_path)
    assert ran == ["half"]


def test_parts_that_do_not_fit_are_told_before_anything_runs(sheet, tmp_path, ran):
    rows = ({"name": "trained", "drive": "gradual", "compare": "random"}, ROWS[0])
    with pytest.raises(PrunusError, match="row trained: compare: random makes further models"):
        study(sheet(*rows), tmp_path)
    assert ran == []


def test_another_metric_than_the_headline_is_compared(place, tmp_path, in_process):
    rows = {"rows": [{"name": "a"}], "recipe": str(place / "recipe.yaml")}
    (tmp_path / "sheet.yaml").write_text(yaml.safe_dump(rows))
    overrides = ["task.metric=[accuracy, f1]"]
    (row,) = read_sheet(tmp_path / "sheet.yaml", overrides)
    report = run(row.recipe, tmp_path / "a", quiet=True)
    metrics = report.model_dump()["metrics"]["f1"]
    named = type(row)(row.name, row.recipe, row.published.model_copy(update={"metric": "f1"}))
    found = result(named, tmp_path / "a")
    assert (found.metric, found.dense, found.pruned) == ("f1", metrics["dense"], metrics["pruned"])
    other = type(row)(row.name, row.recipe, row.published.model_copy(update={"metric": "bleu"}))
    with pytest.raises(PrunusError, match=r"the report knows accuracy, .*f1, not bleu"):
        result(other, tmp_path / "a")


def test_a_sheet_runs_from_a_shipped_recipe_too(sheet, tmp_path, place):
    task = read(place / "recipe.yaml").task
    model = str(place / "dense")
    row = {"name": "blind", "recipe": "magnitude", "model": model, "task": task, "latency": None}
    found = study(sheet({**row, "calibration.samples": 8}), tmp_path)
    assert found.failed == {}
    assert found.results[0].name == "blind"
