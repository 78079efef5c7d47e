"""A recipe that ends with a touch-up: what it learns from, and its row in the report."""

import pytest
import torch

import prunus
from prunus.errors import PrunusError
from prunus.recipe import read
from prunus.recipe._rivals import Rivals
from prunus.recipe.check import check
from prunus.recipe.run import run
from prunus.report import Report
from tests.tiny import outputs

LAST = "recover=[least_squares, {name: finetune, steps: 4, learning_rate: .01}]"
QUICK = ("latency=null", "evaluation.baselines=false")


@pytest.fixture
def at(at):
    """The same without what takes time."""
    return lambda *changes, **more: at(*QUICK, *changes, **more)


def test_the_report_tells_before_and_after(at, tmp_path):
    report, bare = at(LAST), at("recover=least_squares", out="bare")
    own = report.touch_up
    assert bare.touch_up is None
    assert (own.name, own.learnt, own.steps) == ("finetune", "all", 4)
    assert (own.split, own.samples) == ("train", 24)
    assert own.before == bare.quality.pruned
    assert own.gained == pytest.approx(report.quality.pruned - own.before)
    assert own.margin >= 0
    assert own.minutes > 0
    assert own.loss > 0
    assert report.seconds.model_dump()["touch_up"] > 0
    assert report.kept == bare.kept
    assert report.params == bare.params
    assert Report.model_validate_json((tmp_path / "out/report.json").read_text()) == report
    log = (tmp_path / "out/run.log").read_text()
    assert "finetune: 100 of 100" in log
    small, before = (prunus.load(tmp_path / name / "model") for name in ("out", "bare"))
    words = {"input_ids": torch.tensor([[1, 4, 6, 2]])}
    assert not outputs(small, words).equal(outputs(before, words))


def test_without_a_training_split_the_calibration_data_teach(at, place):
    data = f"{{calibration: {place / 'reviews.csv'}, validation: {place / 'reviews.csv'}}}"
    report = at(LAST, f"task.data={data}", "task.splits={}")
    assert (report.touch_up.split, report.touch_up.samples) == ("calibration", 16)


def test_baselines_are_touched_up_alike(at, monkeypatch):
    seen, mended = [], Rivals._mended

    def spied(self, job, plan):
        model = mended(self, job, plan)
        seen.append(job.trained)
        return model

    monkeypatch.setattr(Rivals, "_mended", spied)
    report = at(LAST, "compare=random")
    assert [done.steps for done in seen] == [4]
    assert report.compared[0].made.endswith("mended by least_squares, finetune")


def test_a_touch_up_that_is_not_the_last_is_refused_before_anything_is_opened(place, monkeypatch):
    recipe = read(place / "recipe.yaml", ["recover=[finetune, least_squares]"])
    for where in ("_steps", "check"):
        monkeypatch.setattr(f"prunus.recipe.{where}.open_model", None)
    with pytest.raises(PrunusError, match="finetune comes before least_squares"):
        check(recipe)
    with pytest.raises(PrunusError, match="finetune comes before least_squares"):
        run(recipe, place / "never", quiet=True)


def test_a_recipe_with_a_touch_up_can_be_checked(place):
    assert check(read(place / "recipe.yaml", [LAST])).samples == 16
