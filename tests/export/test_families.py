"""Every family, pruned, in every runtime: torch's answers, at sizes that were not traced."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from prunus.export import Facts, load
from prunus.export._graphs import graphs_of
from tests.export.conftest import EXPORTERS, OTHERS, farthest, inputs, pruned
from tests.tiny import FAMILIES

SCRIPT = Path(__file__).parent / "alone.py"
CASES = [(family, to) for to in EXPORTERS for family in FAMILIES]
pytestmark = pytest.mark.filterwarnings("ignore:.*vocabulary")


@pytest.mark.parametrize(("family", "to"), CASES)
def test_answers_are_those_of_torch(family, to, shelf):
    model, there = pruned(family), load(shelf(family, to), threads=1)
    assert 0 <= there.facts.difference <= 1e-4
    assert there.facts.samples == 5
    for size, length in OTHERS:
        batch = inputs(model, size, length)
        with torch.no_grad():
            right, said = model(**batch), there(**batch)
        assert said.keys() == right.keys()
        assert farthest(right, said) <= 1e-4


@pytest.mark.parametrize("to", EXPORTERS)
def test_graphs_run_where_prunus_is_not(to, shelf, tmp_path):
    for family in FAMILIES:
        shutil.copytree(shelf(family, to), tmp_path / family / "export")
        _expect(pruned(family), tmp_path / family)
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, SCRIPT, to, tmp_path], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    *graphs, last = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {found["case"] for found in graphs} == {*FAMILIES}
    assert [found for found in graphs if not found["far"] <= 1e-4] == []
    assert last == {"loaded": []}


def _expect(model, folder):
    """Inputs of every graph of an export, and what torch makes of them."""
    batch = inputs(model, 3, 8)
    names = Facts.load(folder / "export").graphs
    for graph in graphs_of(model, batch).parts:
        with torch.no_grad():
            answer = graph.module(**graph.example)
        assert list(names[graph.name].outputs) == list(answer)
        held = {f"in:{name}": own.numpy() for name, own in graph.example.items()}
        np.savez(folder / f"{graph.name}.npz", **held, **{f"out:{k}": v for k, v in answer.items()})


def test_axes_have_names(shelf):
    graph = Facts.load(shelf("llama", "onnx")).graphs["model"]
    assert graph.inputs["input_ids"].axes == ("batch", "length")
    assert graph.inputs["attention_mask"].axes == ("batch", "total")
    assert graph.outputs["logits"].axes == ("batch", "length", 50)
    assert graph.outputs["present.0.key"].axes[2] == "past + length"
    onnx = pytest.importorskip("onnx")
    model = onnx.load(shelf("llama", "onnx") / graph.file)
    (ids,) = (port for port in model.graph.input if port.name == "input_ids")
    assert [size.dim_param for size in ids.type.tensor_type.shape.dim] == ["batch", "length"]


def test_sizes_of_keys_differ_by_layer(shelf):
    graph = Facts.load(shelf("llama", "onnx")).graphs["model"]
    sizes = [port.axes[1::2] for name, port in graph.inputs.items() if name.endswith("key")]
    assert sizes == [(1, 1), (1, 8)]  # of the first layer every head is gone


def test_files_hold_the_weights_that_they_read(shelf):
    path = shelf("t5", "pt2") / "encoder_model.pt2"
    held = {key for key in torch.export.load(path).state_dict if ".decoder." in key}
    assert {key.split(".")[-2] for key in held} == {"k", "v"}
