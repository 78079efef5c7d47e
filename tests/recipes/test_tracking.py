"""What runs tell TensorBoard, MLflow and Weights & Biases, read by each one's own reader."""

import json
import os
import struct
import sys
from itertools import pairwise

import pytest
import yaml
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2

from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.recipe import read, read_training
from prunus.recipe.check import check
from prunus.recipe.run import run
from prunus.recipe.train import train
from prunus.report import Report
from tests.recipes.test_gradual import UNITS

HEADER, BLOCK, PIECE = 7, 32768, struct.Struct("<IHB")
FULL, LAST = 1, 4
ALL = "track=[tensorboard, mlflow, wandb]"
FEW = ("latency={batch: 2, pairs: 2}", "evaluation.baselines=false")


def board(folder):
    """{name: [(step, value)]} of TensorBoard's numbers, and {name: [values in a histogram]}."""
    found = EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0}).Reload()
    tags = found.Tags()
    numbers = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in tags["scalars"]}
    spread = {
        tag: [e.histogram_value.num for e in found.Histograms(tag)] for tag in tags["histograms"]
    }
    return numbers, spread


def flow(folder):
    """The one run that MLflow has, and the history of every metric of it."""
    client = MlflowClient(folder.absolute().as_uri())
    (one,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    points = {
        key: sorted((m.step, m.value) for m in client.get_metric_history(one.info.run_id, key))
        for key in one.data.metrics
    }
    return one, points


def records(data):
    """The records of a file of Weights & Biases, which is a log of LevelDB's form."""
    place, parts = HEADER, []
    while place + PIECE.size <= len(data):
        if BLOCK - place % BLOCK < PIECE.size:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = PIECE.unpack_from(data, place)
        place += PIECE.size
        parts.append(data[place : place + length])
        place += length
        if kind in (FULL, LAST):
            yield wandb_internal_pb2.Record.FromString(b"".join(parts))
            parts.clear()


def biases(folder):
    """Every row that was logged to Weights & Biases, as the offline file has it."""
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    found = (r.history.item for r in records(path.read_bytes()) if r.HasField("history"))
    return [{i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in r} for r in found]


@pytest.fixture
def files(monkeypatch):
    """MLflow reads plain files only where it is told to."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def test_every_reporter_is_told_the_same(at, tmp_path, files):
    before = dict(os.environ)
    at(*UNITS, *FEW[:1], ALL)
    out = tmp_path / "out"
    assert os.environ.items() - before.items() <= {
        ("WANDB_SERVICE", os.environ.get("WANDB_SERVICE"))
    }
    at(*UNITS, *FEW[:1], out="untracked")
    tensors = [tmp_path / name / "model/model.safetensors" for name in ("out", "untracked")]
    assert tensors[0].read_bytes() == tensors[1].read_bytes()
    report = Report.model_validate_json((out / "report.json").read_text())
    kept = Plan.load(out / "plan.safetensors").counts()
    numbers, spread = board(out / "tracking/tensorboard")
    one, points = flow(out / "tracking/mlflow")
    rows = biases(out / "tracking")
    assert one.info.run_name == "out"
    assert one.info.status == "FINISHED"
    assert "gradual" in one.data.params["drive"]
    for name in ("loss", "learning_rate", "density/heads", "quality/pruned", "seconds/train"):
        logged = [row[f"train/{name}"] for row in rows if f"train/{name}" in row]
        assert [v for _, v in numbers[f"train/{name}"]] == pytest.approx(logged)
        assert numbers[f"train/{name}"] == [(s, pytest.approx(v)) for s, v in points[name]]
    densities = [value for _, value in numbers["train/density/neurons"]]
    assert len(densities) > 3
    assert densities[0] > densities[-1]
    assert all(low <= high for high, low in pairwise(densities))
    for site, units in kept.items():
        assert numbers[f"train/kept/{site}"][-1][1] == units
    assert numbers["train/quality/dense"][0][1] == pytest.approx(report.quality.dense)
    assert numbers["train/quality/pruned"][0][1] == pytest.approx(report.quality.pruned)
    (timed,) = report.latency_ms
    assert numbers["train/speedup/torch-eager/2"][0][1] == pytest.approx(timed.speedup)
    assert spread["train/scores/neurons"]
    counts = [row[key] for row in rows if (key := "train/scores/neurons/values") in row]
    assert list(map(sum, counts)) == spread["train/scores/neurons"]
    low, middle, high = (points[f"scores/neurons/{q}"][0][1] for q in ("min", "median", "max"))
    assert low < middle < high


@pytest.mark.parametrize("drive", ["oneshot", "sweep", "iterative"])
def test_drives_that_do_not_train_tell_their_plans(at, tmp_path, drive):
    at(*FEW, f"drive={drive}", "track=tensorboard")
    numbers, spread = board(tmp_path / "out/tracking/tensorboard")
    kept = Plan.load(tmp_path / "out/plan.safetensors").counts()
    for site, units in kept.items():
        assert numbers[f"train/kept/{site}"][-1][1] == units
    heads = sum(units for name, units in kept.items() if name.endswith(":heads"))
    assert numbers["train/density/heads"][-1][1] == heads / 8
    steps = [step for step, _ in numbers["train/density/heads"]]
    assert steps == sorted(set(steps))
    assert bool(spread) == (drive != "iterative")


def test_a_touch_up_and_a_fine_tuning_tell_their_losses(place, at, tmp_path):
    touched = "recover=[least_squares, {name: finetune, steps: 12}]"
    at(*FEW, touched, "track=tensorboard")
    numbers, _ = board(tmp_path / "out/tracking/tensorboard")
    assert len(numbers["train/loss"]) == 2
    recipe = read_training(_training(place, tmp_path))
    train(recipe, tmp_path / "dense", quiet=True)
    numbers, _ = board(tmp_path / "dense/tracking/tensorboard")
    assert len(numbers["train/loss"]) > 1
    assert not (tmp_path / "dense.tracking").exists()


def _training(place, tmp_path):
    said = yaml.safe_load((place / "recipe.yaml").read_text())
    training = {"epochs": 4, "batch_size": 4}
    path = tmp_path / "train.yaml"
    path.write_text(
        yaml.safe_dump({
            "model": said["model"], "task": said["task"], "training": training,
            "track": "tensorboard",
        })
    )  # fmt: skip
    return path


def test_what_the_environment_says_is_followed(at, tmp_path, files, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "elsewhere").as_uri())
    at(*FEW, "track=mlflow")
    _, points = flow(tmp_path / "elsewhere")
    assert "density/heads" in points
    assert not list((tmp_path / "out/tracking").iterdir())


def test_nothing_is_tracked_unless_asked(finished):
    assert not (finished / "tracking").exists()


def test_a_reporter_that_is_not_installed_is_told(place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    recipe = read(place / "recipe.yaml", ["track=[tensorboard, wandb]"])
    for carry_out in (check, lambda one: run(one, tmp_path / "out", quiet=True)):
        with pytest.raises(PrunusError, match=r"wandb is not installed.*prunus\[track\]"):
            carry_out(recipe)
    with pytest.raises(PrunusError, match="tensorboard"):
        read(place / "recipe.yaml", ["track=tensorbord"])
