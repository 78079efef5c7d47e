"""Runs drawn beside each other."""

import csv
import json
from xml.etree import ElementTree

import pytest

from prunus.cli import main
from prunus.errors import PrunusError
from prunus.report import write
from prunus.study._figures import figures
from prunus.study._gathered import gather
from prunus.study._reached import goal, reached
from tests.report.sample import history, sample

SLOW = [(0, None, 5.0), (10, 4.0, 3.0), (20, 2.5, 2.0), (30, 2.0, 2.5)]
FAST = [(0, None, 2.5), (10, 2.0, 1.5), (20, 1.0, 1.75)]


@pytest.fixture
def place(tmp_path):
    """Writes a run; gives its folder."""

    def place(name, *trainings, library=None, **more):
        composed = None if library is None else sample().library.model_dump() | library
        said = {"histories": list(trainings), "library": composed, **more}
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write(sample(**said), folder)
        return folder

    return place


@pytest.fixture
def both(place):
    """A run that was composed in eight seconds, and one that was not."""
    library = {"cpu": 8.0, "configurations": 4}
    return [
        place("composed", history("training", FAST, quality=20.0), library=library),
        place("baseline", history("training", SLOW), params={"dense": 9, "pruned": 5}),
    ]


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_every_figure_is_a_picture_and_its_numbers(both, tmp_path, capsys):
    out = tmp_path / "plots"
    assert main(["plot", *map(str, both), "--out", str(out)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert sorted(told) == sorted(map(str, out.iterdir()))
    assert {path.name for path in out.iterdir()} == {
        "losses.svg", "losses.csv", "quality.svg", "reach.svg", "reach.csv", "modules.csv",
        "modules-heads.svg", "modules-neurons.svg", "tuning.csv", "tuning-neurons.svg",
        "reuse.svg", "reuse.csv", "sizes-parameters.svg", "sizes.csv",
    }  # fmt: skip
    for path in out.glob("*.svg"):
        ElementTree.parse(path)
    losses = table(out / "losses.csv")
    assert [float(row["cpu"]) for row in losses] == [8, 18, 28, 0, 10, 20, 30]
    assert [row["validation_loss"] for row in losses[:3]] == ["2.5", "1.5", "1.75"]
    assert [row["kept"] for row in losses] == list("0010001")
    assert table(out / "modules.csv")[0]["site"] == "encoder.layer.0:heads"
    assert table(out / "reuse.csv")[0]["tuned"] == "2"
    assert [row["parameters"] for row in table(out / "sizes.csv")] == ["17402115", "5"]
    assert len(table(out / "tuning.csv")) == 3


def test_the_value_that_all_reach_is_the_worst_best(both, tmp_path):
    runs = gather(both)
    aim = goal(runs, None)
    assert (aim.what, aim.value) == ("validation", 2.0)
    composed, baseline = reached(runs, aim)
    assert (composed.tuning, composed.training, composed.amortised) == (8, 10, 12)
    assert (baseline.tuning, baseline.training, baseline.amortised) == (0, 20, 20)
    assert composed.look.cpu == 18


def test_a_value_is_of_the_metric_where_that_was_measured(both, tmp_path, capsys):
    assert main(["plot", *map(str, both), "--out", str(tmp_path / "q"), "--reach", "19.5"]) == 0
    composed, baseline = table(tmp_path / "q/reach.csv")
    assert (composed["of"], composed["step"], composed["cpu"]) == ("accuracy", "0", "8.0")
    assert (baseline["step"], baseline["cpu"], baseline["amortised"]) == ("", "", "")
    assert "baseline (never)" in (tmp_path / "q/reach.svg").read_text()
    plain = gather(both[1:])
    assert [own.look.point.step for own in reached(plain, goal(plain, 3.0))] == [10]


def test_only_the_last_training_has_the_models_size(place):
    before = history("step 1", [(0, None, 1.0), (10, 1.0, 0.5)])
    folder = place("stepwise", before, history("step 2", [(0, None, 2.0), (10, 1.5, 1.25)]))
    (run,) = runs = gather([folder])
    assert goal(runs, None).value == 1.25
    assert reached(runs, goal(runs, None))[0].training == 20
    assert run.tuning == 0


def test_runs_of_one_name_are_told_apart(place, tmp_path):
    folders = [place(f"{parent}/model", history("training", FAST)) for parent in ("one", "two")]
    assert [run.name for run in gather(folders)] == ["one/model", "two/model"]
    assert [run.name for run in gather([*folders[:1], folders[0]])] == ["model"]


def test_rows_of_a_study_are_runs(place, tmp_path):
    from prunus.study._result import result_of, saved

    folder = tmp_path / "study"
    names = [place(f"study/{name}", history("training", FAST)).name for name in ("a", "b")]
    results = tuple(result_of(name, sample()) for name in names)
    (folder / "study.json").write_text(json.dumps(saved(results)))
    assert [run.name for run in gather([folder])] == ["a", "b"]


def test_a_fine_tuning_is_a_run(place, tmp_path):
    own = history("training", SLOW, kept=20)
    said = {"loss": 2.0, "history": own["points"], "kept": 20, "quality": {"metric": "bleu"}}
    (tmp_path / "dense").mkdir()
    (tmp_path / "dense/training.json").write_text(json.dumps(said))
    (run,) = runs = gather([tmp_path / "dense"])
    assert (run.metric, run.report, run.histories[0].kept) == ("bleu", None, 20)
    assert [figure.name for figure in figures(runs)] == ["losses", "reach"]
    (tmp_path / "dense/training.json").write_text(json.dumps({"loss": 2.0}))
    with pytest.raises(PrunusError, match="is not of a training with looks at it"):
        gather([tmp_path / "dense"])


def test_what_cannot_be_drawn_is_told(place, tmp_path, capsys):
    alone = place("alone")
    assert main(["plot", str(alone), "--out", str(tmp_path / "plots")]) == 2
    assert "nothing to draw: no run was looked at" in capsys.readouterr().err
    assert main(["plot", str(alone), "--reach", "20"]) == 2
    assert "training.eval_steps: 10" in capsys.readouterr().err
    assert main(["plot", str(tmp_path)]) == 2
    assert "holds no run: give the --out folder" in capsys.readouterr().err
    other = sample().quality.model_dump() | {"metric": "bleu"}
    runs = gather([
        place("one", history("training", FAST, quality=1.0)),
        place("two", history("training", FAST, quality=1.0), quality=other),
    ])  # fmt: skip
    with pytest.raises(PrunusError, match="measured by accuracy and bleu"):
        figures(runs, 20.0)
    assert set(figures(runs)[0].pictures) == {"losses", "quality-accuracy", "quality-bleu"}


def test_a_run_that_diverged_is_drawn_as_far_as_it_got(place):
    nan = float("nan")
    lost = place("lost", history("training", [(0, None, nan), (10, nan, nan)]))
    fine = place("fine", history("training", FAST))
    made = {figure.name: figure for figure in figures(gather([lost, fine]))}
    assert [row[3] for row in made["reach"].rows] == [None, 10]
