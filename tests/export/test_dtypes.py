"""Exports that compute in fewer bits: smaller files, near answers, and a refusal where none is."""

import pytest
import torch

from prunus import PrunusError
from prunus.export import load
from prunus.registry import build
from tests.export.conftest import exported, farthest, inputs
from tests.tiny import tiny

DTYPES = [
    ("onnx", "int8"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    ("pt2", "bfloat16"),
]
NEAR = 0.2
"""Of the largest answer; random weights of eight to a head are coarser than learnt ones."""


def weight(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.fixture(scope="module")
def wide():
    """A model whose weights are most of its files."""
    return tiny("bert", heads=16, intermediate_size=512, layers=3)


@pytest.fixture(scope="module")
def whole(wide, tmp_path_factory):
    place = tmp_path_factory.mktemp("float32")
    return {
        to: (exported(wide, place / to, to), place / to)[1] for to in ("onnx", "openvino", "pt2")
    }


@pytest.mark.parametrize(("to", "dtype"), DTYPES)
def test_fewer_bits(to, dtype, wide, whole, tmp_path):
    facts = exported(wide, tmp_path / "out", to, dtype=dtype)
    assert facts.dtype == dtype
    assert 1e-5 < facts.difference < NEAR
    assert weight(tmp_path / "out") < {"int8": 0.6, "bfloat16": 0.75}[dtype] * weight(whole[to])
    there, batch = load(tmp_path / "out"), inputs(wide, 2, 6)
    with torch.no_grad():
        assert farthest(wide(**batch), there(**batch)) < NEAR


@pytest.mark.parametrize(("to", "dtype"), [("pt2", "bfloat16"), ("openvino", "int8")])
def test_decoders_generate_in_fewer_bits(to, dtype, tmp_path):
    model = tiny("llama")
    exported(model, tmp_path / "out", to, dtype=dtype)
    ids = inputs(model, 2, 6)["input_ids"]
    said = load(tmp_path / "out").generate(input_ids=ids, max_new_tokens=4, do_sample=False)
    assert said.shape == (2, 10)


@pytest.mark.parametrize(("to", "dtype"), [("onnx", "bfloat16"), ("pt2", "int8")])
def test_refused(to, dtype):
    with pytest.raises(PrunusError, match=f"{to} does not run {dtype}.* openvino"):
        build("export", {"name": to, "dtype": dtype})


def test_unknown():
    with pytest.raises(PrunusError, match="float32"):
        build("export", {"name": "onnx", "dtype": "float8"})
    with pytest.raises(PrunusError, match="unknown exporter 'onxx'"):
        build("export", "onxx")
