"""Two processes train as one does: losses, masks and weights, by every drive and criterion."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from prunus.errors import PrunusError
from tests.distributed import shards, trainings

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
        if name == "touched up" and key.endswith("key.bias"):
            continue  # its gradient is 0 but for rounding, which AdamW makes large
        if key.startswith("plan/"):
            assert torch.equal(own, alone[key]), key
        else:
            apart = (own.double() - alone[key].double()).norm()
            assert apart <= TOLERANCE * alone[key].double().norm() + 1e-7, key


def test_a_run_that_was_killed_goes_on(pair):
    whole, again = (load_file(pair / f"{name}.0.safetensors") for name in ("units", "resumed"))
    for key, own in whole.items():
        if key != "losses":  # of the steps since
            assert torch.equal(own, again[key]), key


SAID = {
    "gradients differ": "differ .their norms: rank 0: .* train it wrapped in Distributed",
    "learnt": "not for parameters in parts .FSDP.: train with DistributedDataParallel",
    "FSDP 1": "FSDP of version 1",
    "flat": "FSDP of version 1",
    "odd": "a step has 3 examples, which 2 processes in 1 passes each cannot share equally",
}


@pytest.mark.parametrize("name", [*shards.WRONG, "odd"])
def test_what_cannot_be_is_told_by_every_process(name, pair):
    for rank in range(2):
        told = json.loads((pair / f"told.{rank}.json").read_text())[name]
        assert re.search(SAID[name], told), told


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed keeps gradients and weights in flat"),
        ({"ACCELERATE_USE_FSDP": "true"}, "FSDP on cpu, version 1: .* in version 2 alone"),
    ],
)
def test_what_accelerate_is_told_in_vain_is_refused(told, said, place, monkeypatch):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PrunusError, match=said):
        trainings.CASES["units"](place)


def test_fsdp_trains_nothing_beside_the_network(place, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(PrunusError, match="learned masks, adapters and embedding_rate: not where"):
        trainings.CASES["score movement"](place)
