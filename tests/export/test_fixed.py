"""Exports that are compiled anew for every shape."""

import pytest
import torch

from prunus.errors import PrunusError
from prunus.export import export, load
from prunus.registry import build
from tests.tiny import tiny


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_every_shape_is_answered_as_before(to, tmp_path):
    model = tiny("bert").eval()
    batches = [
        {"input_ids": torch.randint(2, 50, (rows, length)),
         "attention_mask": torch.ones(rows, length).long()}
        for rows, length in ((2, 8), (1, 5), (2, 8))
    ]  # fmt: skip
    export(model, tmp_path / "out", build("export", to), batches[:1])
    free, fixed = load(tmp_path / "out"), load(tmp_path / "out", fixed=True)
    for batch in batches:
        assert torch.allclose(free(**batch).logits, fixed(**batch).logits, atol=1e-5)
        assert torch.allclose(model(**batch).logits, fixed(**batch).logits, atol=1e-5)


def test_what_cannot_be_fixed(tmp_path):
    batch = {"input_ids": torch.randint(2, 50, (2, 8))}
    export(tiny("bert"), tmp_path / "out", build("export", "pt2"), [batch])
    with pytest.raises(PrunusError, match="leave out fixed"):
        load(tmp_path / "out", fixed=True)(**batch)
