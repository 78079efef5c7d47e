"""Commands that two processes share end as they do in one, and leave nothing beside."""

import json
import os
import subprocess
import sys
from contextlib import chdir

import pytest
import torch
from safetensors.torch import load_file

from prunus.cli import main
from prunus.plan import Plan
from prunus.report import read
from tests.distributed import runs
from tests.recipes.dense import recipe
from tests.tiny import far

RUNS = ("plain", "searched")
TORCHRUN = [
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
]  # fmt: skip
BROKEN = '''
import os
from prunus.errors import PrunusError
from prunus.score.magnitude import Magnitude


class Broken(Magnitude):
    """Fails on the second rank."""

    def score(self, evidence):
        if os.environ.get("RANK") == "1":
            raise PrunusError("one cannot")
        return super().score(evidence)
'''


def started(*command, folder):
    """Two processes that share a command."""
    roots = os.pathsep.join([str(folder), os.getcwd(), *filter(None, sys.path)])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": roots}
    return subprocess.run(
        [*TORCHRUN, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """(recipe's folder, folder of what two processes made of it, what they printed)."""
    folder = tmp_path_factory.mktemp("shared")
    recipe(folder)
    done = started("-m", "tests.distributed.runs", str(folder), folder=folder)
    assert done.returncode == 0, done.stderr[-4000:]
    codes = [json.loads((folder / f"codes.{rank}.json").read_text()) for rank in range(2)]
    assert codes == [dict.fromkeys(runs.COMMANDS, 0)] * 2, done.stderr[-4000:]
    return folder, done.stdout


def alone(name, shared, place):
    """The same command in this process."""
    with chdir(shared[0]):
        assert main([*runs.said(name, place), "--quiet"]) == 0
    return place / name


def test_what_two_processes_print_and_leave(shared):
    folder, printed = shared
    assert printed.count("accuracy 45.00 ± 11.12 (n = 20)") == 1
    assert printed.count(f"model:  {folder / 'plain' / 'model'}") == 1
    made = {"dense", "recipe.yaml", "reviews.csv", "codes.0.json", "codes.1.json"}
    made |= {"plain", "searched", "tuned", "sensitive"}
    assert {path.name for path in folder.iterdir()} == made


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_two_processes_reports_what_one_does(shared, tmp_path, in_process, name):
    single, double = alone(name, shared, tmp_path), shared[0] / name
    one, two = read(single), read(double)
    assert Plan.load(single / "plan.safetensors") == Plan.load(double / "plan.safetensors")
    assert one.kept == two.kept
    assert one.quality == two.quality
    assert one.calibration == two.calibration
    assert [row.quality for row in one.compared] == [row.quality for row in two.compared]
    files = [load_file(place / "model" / "model.safetensors") for place in (single, double)]
    assert files[0].keys() == files[1].keys()
    for key, tensor in files[0].items():
        near = far(files[1][key], tensor) if tensor.norm() else float(files[1][key].norm())
        assert near < 5e-3, key
    names = {path.relative_to(single) for path in single.rglob("*")}
    assert {path.relative_to(double) for path in double.rglob("*")} == names


def test_a_library_that_two_processes_fill_has_the_modules_of_one(shared, tmp_path):
    single, double = alone("tuned", shared, tmp_path), shared[0] / "tuned"
    entries = sorted(path.relative_to(single) for path in single.rglob("*.safetensors"))
    assert entries
    assert sorted(path.relative_to(double) for path in double.rglob("*.safetensors")) == entries
    for path in entries:
        one, two = load_file(single / path), load_file(double / path)
        assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_sensitivities_are_the_same(shared, tmp_path):
    single, double = alone("sensitive", shared, tmp_path), shared[0] / "sensitive"
    one, two = (json.loads((p / "sensitivity.json").read_text()) for p in (single, double))
    curves = [
        {(own["site"], p["units"]): p["loss"] for own in told["sites"] for p in own["points"]}
        for told in (one, two)
    ]
    assert len(curves[0]) > 10
    assert curves[0] == pytest.approx(curves[1], rel=1e-6)


def test_a_command_that_cannot_be_shared_is_refused_once(tmp_path):
    done = started("-m", "prunus", "ls", "recipes", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    said = [line for line in done.stderr.splitlines() if line.startswith("prunus:")]
    assert said == [
        "prunus: ls was started 2 times (torchrun, accelerate launch); processes can share run,"
        " train, eval, sensitivity, library tune, start all else once"
    ]


def test_a_process_that_fails_is_heard_and_ends_the_others(shared):
    folder = shared[0]
    (folder / "planted.py").write_text(BROKEN)
    before = {path.name for path in folder.iterdir()}
    settings = "score=planted:Broken", "recover=[]", "select=greedy"
    done = started("-m", "prunus", "run", "recipe.yaml", *settings, folder=folder)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("prunus")]
    assert said[0] == "prunus, process 1 of 2: one cannot"
    assert {path.name for path in folder.iterdir()} - before <= {"__pycache__", "runs"}
    left = {path.name for path in (folder / "runs").iterdir()}
    assert left <= {f"{folder.name}.checkpoints"}  # safe points, for --resume
