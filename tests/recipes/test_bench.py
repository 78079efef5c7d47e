import json

import pytest
import torch

import prunus
from prunus.cli._timings import timings, told_across
from prunus.errors import PrunusError
from prunus.export import export
from prunus.measure._others import Others
from prunus.recipe.bench import Asked, bench
from prunus.registry import build
from prunus.report._bench import Bench
from tests.tiny import batch_of, tiny

QUICK = {"batch": 2, "length": 16, "pairs": 3}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A dense model and a pruned one, as checkpoints."""
    folder = tmp_path_factory.mktemp("pair")
    model = tiny("bert")
    prunus.save(model, folder / "dense")
    small = prunus.prune(model, [batch_of(model)], density=0.5, score="magnitude",
                         select="greedy", recover=[])  # fmt: skip
    prunus.save(small, folder / "pruned")
    return folder / "dense", folder / "pruned"


def measured(pair, **asked) -> Bench:
    return bench(*map(str, pair), Asked(**(QUICK | asked)), quiet=True)


@pytest.mark.parametrize("runtime", ["torch-eager", "onnx", "openvino", "pt2"])
def test_every_runtime_times_both(pair, runtime):
    (cell,) = measured(pair, runtime=runtime).cells
    taken = cell.latency
    assert (taken.runtime, taken.batch, taken.length, taken.threads) == (runtime, 2, 16, 1)
    assert taken.ideal == cell.flops.dense / cell.flops.pruned > 1.2
    assert taken.dense > 0
    assert taken.pruned > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_compiles(pair):
    (cell,) = measured(pair, runtime="torch-compile").cells
    assert cell.latency.runtime == "torch-compile"


def test_every_call_is_timed(pair):
    found = measured(pair, batch=[1, 3], length=[4, 8], threads=[1, 2], pairs=1)
    calls = [(c.latency.threads, c.latency.length, c.latency.batch) for c in found.cells]
    assert calls == [(t, n, b) for t in (1, 2) for n in (4, 8) for b in (1, 3)]
    assert all(cell.flops.dense % cell.latency.batch == 0 for cell in found.cells)


def test_the_peak_is_the_machines_and_the_share_is_of_it(pair):
    found = measured(pair)
    (cell,) = found.cells
    assert found.peak == max(found.peaks.values()) > 1e9
    assert found.share(cell) == pytest.approx(
        cell.flops.dense / (cell.latency.dense / 1000) / found.peak
    )
    assert 0 < found.share(cell) < 1


def test_the_peak_is_one_of_float32(pair):
    found = measured(pair, dtype="bfloat16")
    assert found.share(found.cells[0]) is None


def test_sparse_kernels_pass_over_zeros(tmp_path):
    model = tiny("bert", intermediate_size=256, hidden_size=128)
    prunus.save(model, tmp_path / "dense")
    sites = [{"grid": [32, 1], "match": ".*dense"}]
    small = prunus.prune(model, [batch_of(model)], sites=sites, score="magnitude", select="greedy",
                         recover=[], budget={"density": 0.05, "metric": "weights"})  # fmt: skip
    prunus.save(small, tmp_path / "pruned")
    pair = tmp_path / "dense", tmp_path / "pruned"
    (sparse,) = measured(pair, runtime="torch-sparse", batch=32).cells
    (eager,) = measured(pair, batch=32).cells
    assert eager.latency.ideal == 1
    assert sparse.latency.ideal > 1.5


def test_a_model_without_zeros_has_no_sparse_kernel(pair):
    with pytest.raises(PrunusError, match="neither model has"):
        measured(pair, runtime="torch-sparse")


def test_a_vocabulary_may_be_cut(pair, tmp_path):
    prunus.save(tiny("bert", vocab_size=20), tmp_path / "cut")
    assert measured((pair[0], tmp_path / "cut")).cells
    assert measured((tmp_path / "cut", pair[0])).cells


@pytest.mark.parametrize("other", ["vit", "t5"])
def test_models_that_read_other_things(pair, other, tmp_path):
    prunus.save(tiny(other), tmp_path / "other")
    for one in ((pair[0], tmp_path / "other"), (tmp_path / "other", pair[0])):
        with pytest.raises(PrunusError, match="a model and what became of it"):
            measured(one)


def test_several_threads_are_compared_by_the_clock_on_the_wall(pair):
    (cell,) = measured(pair, threads=2).cells
    wall = cell.latency.wall.model_copy(update={"dense": 1.0, "pruned": 0.5})
    times = {"dense": 100.0, "pruned": 1.0, "wall": wall}
    cells = [cell.model_copy(update={"latency": cell.latency.model_copy(update=times | {
        "runtime": name})}) for name in ("torch-eager", "onnx")]  # fmt: skip
    found = measured(pair).model_copy(update={"cells": tuple(cells)})
    (table,) = told_across(found)
    assert [list(column.cells) for column in table.columns][2:] == [["1.00×"] * 2, ["2.00×"] * 2]
    caption = [str(one.caption) for one in timings(found)]
    assert any("wall time tells what they win" in said for said in caption)


def test_exports_are_timed_by_their_runtime(pair, tmp_path):
    batch = {"input_ids": torch.randint(2, 50, (2, 8))}
    folders = [tmp_path / name for name in ("a", "b")]
    for source, folder in zip(pair, folders, strict=True):
        export(prunus.load(source), folder, build("export", "onnx"), [batch],
               checkpoint=str(source))  # fmt: skip
    (cell,) = measured(folders).cells
    assert cell.latency.runtime == "onnx"
    assert cell.latency.ideal > 1.2
    with pytest.raises(PrunusError, match="two exports"):
        measured((pair[0], folders[1]))
    with pytest.raises(PrunusError, match="leave out"):
        measured(folders, runtime="openvino")
    mixed = tmp_path / "c"
    export(prunus.load(pair[1]), mixed, build("export", "openvino"), [batch],
           checkpoint=str(pair[1]))  # fmt: skip
    with pytest.raises(PrunusError, match="--across"):
        measured((folders[0], mixed))
    (cell,) = measured((folders[0], mixed), across=True).cells
    assert cell.latency.runtime == "onnx to openvino"


def test_an_export_whose_checkpoint_is_gone(pair, tmp_path):
    batch = {"input_ids": torch.randint(2, 50, (2, 8))}
    model, to = prunus.load(pair[0]), build("export", "pt2")
    export(model, tmp_path / "a", to, [batch])
    with pytest.raises(PrunusError, match="does not say which model"):
        measured((tmp_path / "a", tmp_path / "a"))
    gone = str(tmp_path / "gone")
    export(model, tmp_path / "a", to, [batch], checkpoint=gone)
    with pytest.raises(PrunusError, match=r"exported from .* was not found"):
        measured((tmp_path / "a", tmp_path / "a"))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"runtime": "openvin"}, "openvino"),
        ({"runtime": "torch-sparse", "dtype": "int8"}, "does not compute in int8"),
        ({"length": 999}, "positions"),
    ],
)
def test_what_cannot_be_timed(pair, asked, told):
    with pytest.raises(PrunusError, match=told):
        measured(pair, **asked)


def test_others_are_seen():
    with Others() as alone:
        torch.randn(300, 300) @ torch.randn(300, 300)
    assert alone.cores >= 0


def test_the_command_says_it_all(pair, tmp_path, capsys):
    from prunus.cli import main

    out = tmp_path / "bench.json"
    asked = ["--runtime", "torch-eager", "onnx", "--across", "--out", str(out)]
    quick = ["--batch", "1", "2", "--length", "8", "--pairs", "1", "--quiet"]
    assert main(["bench", *map(str, pair), *asked, *quick]) == 0
    told = capsys.readouterr().out
    for words in ("torch-eager, float32", "onnx, float32", "of the ideal", "across runtimes",
                  "2 by 8 tokens, 1 thread", "of float32"):  # fmt: skip
        assert words in told
    found = Bench.model_validate(json.loads(out.read_text()))
    assert len(found.cells) == 4
