"""Two processes find what one does: plans, scores and weights, by every criterion and repair."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.distributed import cases
from tests.tiny import far

TOLERANCE = 5e-3
"""Of a tensor's norm: products of float32 are added up in another order, before they are solved."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The folder with what two processes found."""
    folder = tmp_path_factory.mktemp("pair")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "tests.distributed.cases", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PRUNUS_CACHE": str(folder / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def both(folder, name):
    """What each of the two found."""
    return [load_file(folder / f"{name}.{rank}.safetensors") for rank in range(2)]


def same(one, other):
    """Bit for bit."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("name", cases.CASES)
def test_two_processes_find_what_one_does(pair, name):
    one, other = both(pair, name)
    same(one, other)
    single = cases.CASES[name]()
    assert single.keys() == one.keys()
    for key, expected in single.items():
        if key.startswith("plan/"):
            assert torch.equal(one[key], expected), key
        else:
            assert expected.equal(one[key]) or far(one[key], expected) < TOLERANCE, key
    assert any(not mask.all() for key, mask in one.items() if key.startswith("plan/")) or (
        name == "one site alone"
    )


@pytest.mark.parametrize("name", cases.TIMED)
def test_what_is_timed_is_timed_once_for_all(pair, name):
    one, other = both(pair, name)
    same(one, other)
    assert any(not mask.all() for key, mask in one.items() if key.startswith("plan/"))


def test_what_processes_tell_each_other(pair):
    one, other = (json.loads((pair / f"told.{rank}.json").read_text()) for rank in range(2))
    alike = one.keys() - {"own", "first", "by_first"}
    assert {key: one[key] for key in alike} == {key: other[key] for key in alike}
    assert (one["own"], other["own"]) == (["a", "c", "e"], ["b", "d"])
    assert (one["first"], other["first"]) == (True, False)
    assert (one["by_first"], other["by_first"]) == ([0, 1], None)
    assert one["world"] == 2
    assert one["alone"] == [1, True, ["a", "b", "c"]]
    assert one["total"]["n"] == 5
    assert one["total"]["x"] == [2.0, 2.0]
    assert (one["total"]["f"], one["total"]["i"], one["total"]["empty"]) == ([0.25], [3], [])
    assert one["whole"]
    assert one["spread"] == [[[0.0, 0.0], [0.0, 0.0]], [False], []]
    assert (one["shared"], one["number"]) == ("from 0", 0.1)
    assert one["nothing shared"] == ""
    assert one["kept"] == [{"from": 0}, [0, 1, 2], None, {"from": 0}]
    assert one["gathered"] == ["", "x"]
    assert one["collected"] == [[1], [0]]
    assert (one["raised by first"], one["agree"]) == ("broken", "")
    assert one["differ"].startswith("the weather differs between the processes of this run (rank 0")
    assert one["other data"].startswith("the calibration data differs")
    assert one["other model"].startswith("the model differs")
    assert one["plan"] == [True, False]
