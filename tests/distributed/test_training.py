"""Two processes train as one does: losses, masks and weights, by every drive and criterion."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.distributed import trainings

TOLERANCE = 1e-4
"""Of weights and losses, relative to their norm: sums of float32 in another order."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with networks, data and recipes."""
    folder = tmp_path_factory.mktemp("place")
    trainings.prepare(folder)
    return folder


@pytest.fixture(scope="module")
def pair(place, tmp_path_factory):
    """The folder with what two processes made of them."""
    folder = tmp_path_factory.mktemp("pair")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "tests.distributed.trainings"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(place), str(folder)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.parametrize("name", trainings.CASES)
def test_two_processes_train_as_one(name, place, pair, quick_gc):
    one, other = (load_file(pair / f"{name}.{rank}.safetensors") for rank in range(2))
    alone = trainings.CASES[name](place)
    assert one.keys() == other.keys() == alone.keys()
    for key, own in one.items():
        assert torch.equal(own, other[key]), key
        if key.startswith("plan/"):
            assert torch.equal(own, alone[key]), key
        else:
            apart = (own.double() - alone[key].double()).norm()
            assert apart <= TOLERANCE * alone[key].double().norm() + 1e-7, key
