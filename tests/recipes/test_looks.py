"""Recipes that look at held-out examples while they train."""

import json
from itertools import pairwise

import pytest
import yaml

from prunus.drive._pruner import Pruner
from prunus.drive.stepwise import Stepwise
from prunus.errors import PrunusError
from prunus.recipe import read, read_training
from prunus.recipe.run import run
from prunus.recipe.train import train
from tests.recipes import dense

DRAWN = "task.splits={train: 24, calibration: 8, validation: 20, development: 8}"
LOOKED = ("latency=null", "evaluation.baselines=false", "calibration.samples=8", DRAWN)
GRADUAL = (
    *LOOKED,
    "training={batch_size: 4, learning_rate: .002, epochs: 2, eval_steps: 4, eval_metric: true}",
    "drive={name: gradual, schedule: {name: cubic, warmup: 2, cooldown: 2, every: 2}}",
    "save.minutes=0",
)
STEPWISE = (
    *LOOKED,
    "training={batch_size: 4, learning_rate: .002, eval_steps: 4, patience: 9}",
    "drive={name: stepwise, steps: 3, before: .5, recovery: 1, after: 0}",
)


def steps(report):
    return {own.name: [point.step for point in own.points] for own in report.histories}


def test_a_gradual_run_tells_how_it_learnt(at, tmp_path):
    report = at(*GRADUAL)
    assert steps(report) == {"training": [0, 4, 8, 12]}
    assert report.histories[0].kept is None
    assert all(point.quality is not None for point in report.histories[0].points)
    said = json.loads((tmp_path / "out/report.json").read_text())["histories"]
    assert said[0]["points"][0]["training"] is None
    assert said[0]["points"][1]["training"] > 0


def test_looks_before_a_run_broke_off_are_in_its_report(at, monkeypatch):
    whole = at(*GRADUAL, out="whole")
    after = Pruner._after

    def killed(self, *args):
        if self.done == 7:
            raise KeyboardInterrupt
        after(self, *args)

    with monkeypatch.context() as broken:
        broken.setattr(Pruner, "_after", killed)
        with pytest.raises(KeyboardInterrupt):
            at(*GRADUAL)
    report = at(*GRADUAL, resume=True)
    assert report.plan == whole.plan
    assert steps(report) == steps(whole)
    one, other = (found.histories[0].points for found in (report, whole))
    assert [point.validation for point in one] == [point.validation for point in other]
    assert all(before.cpu < later.cpu for before, later in pairwise(one))


def test_a_stepwise_run_has_a_history_of_every_training(at, tmp_path, monkeypatch):
    whole = at(*STEPWISE, out="whole")
    assert steps(whole) == {"before": [0, 3], "step 1": [0, 4, 6], "step 2": [0, 4, 6]}
    for own in whole.histories:
        lowest = min(own.points, key=lambda point: point.validation)
        assert own.kept == lowest.step

    def broken(self, job, plan, way):
        if way == 1:
            raise KeyboardInterrupt
        return cut(self, job, plan, way)

    cut = Stepwise._cut
    with monkeypatch.context() as patch:
        patch.setattr(Stepwise, "_cut", broken)
        with pytest.raises(KeyboardInterrupt):
            at(*STEPWISE)
    assert steps(at(*STEPWISE)) == steps(whole)


def test_weights_of_less_pruning_are_not_brought_back(place):
    with pytest.raises(PrunusError, match=r"training.patience .* those of less pruning"):
        read(place / "recipe.yaml", (*GRADUAL, "training.patience=2"))


def test_the_saved_recipe_is_read_again(at, tmp_path):
    one = at(*GRADUAL)
    again = run(read(tmp_path / "out/recipe.yaml"), tmp_path / "again", quiet=True)
    assert again.plan == one.plan


def test_a_split_to_look_at_must_be_there(at):
    with pytest.raises(PrunusError, match=r"unknown split 'development'.*development: 500"):
        at(*GRADUAL, "task.splits={train: 24, calibration: 16, validation: 20}")


def test_a_fine_tuning_tells_what_it_left(tmp_path):
    said = yaml.safe_load(dense.recipe(tmp_path).read_text())
    task = said["task"] | {"splits": {"train": 24, "development": 8, "validation": 20}}
    quick = {"max_steps": 5, "batch_size": 4, "eval_steps": 2, "patience": 9, "evaluate": False}
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump({"model": said["model"], "task": task, "training": quick}))
    (line,) = train(read_training(path), tmp_path / "out", quiet=True)
    record = json.loads((tmp_path / "out/training.json").read_text())
    kept = next(point for point in record["history"] if point["step"] == record["kept"])
    loss, step = f"{kept['validation']:.4f}", record["kept"]
    assert line == f"loss on development {loss} after {step} steps of 5"
