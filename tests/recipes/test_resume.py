"""Runs that are killed at every safe point end as if nobody had killed them."""

from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from prunus.errors import PrunusError
from prunus.files import clear, folder_beside, sweep
from prunus.held import beside, held
from prunus.recipe import read
from prunus.recipe.run import run
from prunus.report import read as report_of
from prunus.safe import Kept, SafePoints, tidy
from tests.recipes.kills import attempt, pruned, trained

KILLED, MOST = -9, 40
QUICK = ("latency=null", "evaluation.baselines=false", "calibration.samples=8", "save.minutes=0")
TRAINING = "training={epochs: 1, batch_size: 8}"
GRADUAL = "drive={name: gradual, schedule: {name: cubic, warmup: 1}}"
DRIVES = {
    "sweep": ("drive=sweep", "score=knowledge", "select=greedy", "recover=[least_squares]"),
    "chosen again": ("recover=[input_map, reselect, {name: finetune, steps: 3}]",),
    "adapted": ("adapt=lora", "recover=[least_squares, {name: finetune, steps: 2}]"),
    "gradual": (GRADUAL, TRAINING, "budget.metric=units", "adapt={name: splora, rank: 2}"),
    "stepwise": ("drive={name: stepwise, steps: 2}", "training.batch_size=8"),
    "iterative": ("drive=iterative", "sites=heads", "score=magnitude", "recover=least_squares"),
    "library": (
        "drive={name: library, folder: FOLDER, configurations: {heads: [.5], neurons: [.5]},"
        " finish: least_squares, recovery: 2}", "training.batch_size=8",
        "recover=[least_squares, {name: modulewise, epochs: 3}]", "calibration.batch_size=2",
    ),
    "search": ("budget={max_loss: 40pt}", "task.splits.development=8", "task.splits.calibration=8"),
    "grids": ("sites={grid: '2:4', match: '.*query'}", "score=wanda", "recover=sparsegpt",
              "budget.density=.5", "select=greedy"),
}  # fmt: skip


def killed_again_and_again(do, recipe: Path, out: Path, *changes: str) -> int:
    """Kill something at its third safe point until it has none left; how often that was."""
    for kills in range(MOST):
        code = attempt(3, do, recipe, out, *changes)
        if code != KILLED:
            assert code == 0
            return kills
    raise AssertionError("it does not get on")


def same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(first[n].equal(second[n]) for n in first)


@pytest.mark.slow
@pytest.mark.parametrize("name", DRIVES)
def test_it_ends_as_if_nobody_had_killed_it(name, place, tmp_path, tmp_path_factory):
    whole, out = tmp_path / "whole", tmp_path / "out"
    recipe = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    said = yaml.safe_load((place / "recipe.yaml").read_text())
    if name == "library":
        del said["budget"]
    recipe.write_text(yaml.safe_dump(said))

    def changes(own: Path) -> list[str]:
        folder = str(recipe.with_name(own.name))
        return [change.replace("FOLDER", folder) for change in (*QUICK, *DRIVES[name])]

    assert attempt(0, pruned, recipe, whole, *changes(whole)) == 0
    assert killed_again_and_again(pruned, recipe, out, *changes(out)) > 0
    one, other = report_of(whole), report_of(out)
    assert same_weights(*(f / "model/model.safetensors" for f in (whole, out)))
    assert one.model_extra["plan"] == other.model_extra["plan"]
    assert (one.quality, one.frontier, one.histories) == (
        other.quality, other.frontier, other.histories,
    )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "out"}


@pytest.fixture
def cut_off(place, tmp_path):
    """The folder of a run that was killed at its second safe point."""
    code = attempt(2, pruned, place / "recipe.yaml", tmp_path / "out", *QUICK)
    assert code == KILLED
    return tmp_path / "out"


def test_a_run_that_was_cut_off_goes_on_only_when_asked(cut_off, place, in_process):
    recipe = read(place / "recipe.yaml", QUICK)
    told = (
        r"holds safe points of this run, which was cut off after .* go on from there with --resume"
    )
    with pytest.raises(PrunusError, match=told):
        run(recipe, cut_off, quiet=True)
    with pytest.raises(PrunusError, match=r"safe points of another recipe \(another budget; see"):
        run(read(place / "recipe.yaml", (*QUICK, "budget.density=.6")), cut_off, True, True)
    assert not cut_off.exists()
    report = run(recipe, cut_off, quiet=True, resume=True)
    log = (cut_off / "run.log").read_text()
    assert "going on: " in log
    assert log.count("evaluate") < 2
    assert [path.name for path in cut_off.parent.iterdir()] == ["out"]
    assert run(recipe, cut_off, quiet=True, resume=True) == report, "it is done already"


def test_what_was_killed_once_it_was_complete_is_done(place, tmp_path, in_process):
    settings, out = read(place / "recipe.yaml", QUICK), tmp_path / "out"
    report = run(settings, out, quiet=True)
    rest = tmp_path / "out.checkpoints"
    for go_on in (partial(run, settings, out, quiet=True, resume=True), partial(tidy, out)):
        SafePoints.at(rest, 0, 0).put("dense", Kept(1))
        assert (rest / "points.json").is_file()
        with held(beside(out), "me"):
            tidy(out)
        assert rest.exists(), "somebody is at work there"
        assert go_on() in (report, None)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_where_there_is_nothing_to_go_on_from_it_says_so(place, tmp_path, in_process):
    run(read(place / "recipe.yaml", QUICK), tmp_path / "out", quiet=True, resume=True)
    assert "no safe points: from the beginning" in (tmp_path / "out/run.log").read_text()


def test_how_often_it_is_saved_is_no_other_recipe(cut_off, place, in_process):
    settings = read(place / "recipe.yaml", (*QUICK, "save.minutes=9"))
    assert run(settings, cut_off, quiet=True, resume=True).quality.n == 20


def test_one_run_at_a_time(place, tmp_path):
    told = pytest.raises(
        PrunusError, match=r"a run is going on there already .process \d+ on .* since"
    )
    with held(beside(tmp_path / "out"), "me"), told:
        run(read(place / "recipe.yaml", QUICK), tmp_path / "out", quiet=True)


def test_a_fine_tuning_goes_on(place, tmp_path):
    recipe = read(place / "recipe.yaml")
    said = tmp_path / "train.yaml"
    training = "{max_steps: 4, batch_size: 8, averaging: .5, evaluate: false, warmup_ratio: 0}"
    said.write_text(
        f"model: {recipe.model}\ntask: {dict(recipe.task)}\ntraining: {training}\n"
        "save: {minutes: 0}\n"
    )
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert attempt(0, trained, said, whole) == 0
    assert killed_again_and_again(trained, said, out) > 0
    assert same_weights(*(folder / "model.safetensors" for folder in (whole, out)))


def test_a_fine_tuning_on_varied_images_goes_on(tmp_path):
    said = tmp_path / "train.yaml"
    said.write_text(
        "model: {name: cifar_resnet, depth: 8, widths: [4, 4, 4]}\n"
        "task: {name: image_classification, data: digits, crop: shifted, flip: true}\n"
        "training: {max_steps: 5, batch_size: 8, evaluate: false}\n"
        "save: {minutes: 0}\n"
    )
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert attempt(0, trained, said, whole) == 0
    assert killed_again_and_again(trained, said, out) > 0
    assert same_weights(*(folder / "model.safetensors" for folder in (whole, out)))


def test_what_is_drawn_depends_on_the_stage_alone():
    def drawn(*before):
        points = SafePoints(seed=3)
        for name in before:
            points.once(name, lambda: torch.rand(5).tolist())
        return points.once("last", lambda: torch.rand(3).tolist())

    assert drawn() == drawn("first") == drawn("first", "second")


def test_values_are_there_together_or_not_at_all(tmp_path):
    points = SafePoints.at(tmp_path / "points", 3600, 0)
    points.put("one", Kept({"n": 1}, {"t": torch.arange(3)}))
    assert SafePoints.at(tmp_path / "points", 3600, 0).get("one") is None
    points.flush()
    points.put("one", Kept(2))
    points.within("inner").put("two", Kept(2))
    found = SafePoints.at(tmp_path / "points", 3600, 0)
    assert found.get("one").said == {"n": 1}
    assert found.get("one").tensors["t"].tolist() == [0, 1, 2]
    points.drop("inner")
    points.flush()
    found = SafePoints.at(tmp_path / "points", 0, 0)
    assert (found.get("one").said, found.get("inner/two")) == (2, None)
    assert len(list((tmp_path / "points").glob("*.safetensors"))) == 1
    (tmp_path / "points/points.json").write_text("{")
    with pytest.raises(PrunusError, match="not readable safe points"):
        SafePoints.at(tmp_path / "points", 0, 0)


def test_what_killed_writers_left_goes_and_what_made_way_comes_back(tmp_path):
    fresh, old = tmp_path / ".out.0123abcd", tmp_path / ".out.4567abcd.old"
    for folder in (fresh, old):
        folder.mkdir()
        (folder / "file").write_text(folder.suffix)
    clear(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/file").read_text() == ".old"
    fresh.mkdir()
    with folder_beside(tmp_path / "out") as own:
        assert not fresh.exists()
        with pytest.raises(PrunusError, match="another process is writing there already"):
            folder_beside(tmp_path / "out").__enter__()
        (own / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]
    (tmp_path / "out/.new.0123abcd").touch()
    sweep(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_nothing_is_kept_where_nobody_wants_it(tmp_path):
    points = SafePoints.at(tmp_path / "points", None, 0)
    points.put("one", Kept(1))
    points.flush()
    assert (points.get("one"), points.training("train"), points.keeps) == (None, None, False)
    assert list(tmp_path.iterdir()) == []
