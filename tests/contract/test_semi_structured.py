"""Two in four as sparse tensors: which layers can be, and what is said where none can."""

import pytest
import torch
from torch import nn

from prunus.edit.semi_structured import convertible, to_semi_structured
from prunus.errors import PrunusError


def halved(outputs, inputs):
    linear = nn.Linear(inputs, outputs)
    with torch.no_grad():
        linear.weight.view(outputs, -1, 4)[..., 1:3] = 0
    return linear


def test_layers_that_are_two_in_four_and_of_a_fitting_shape():
    emptied = nn.Linear(4, 32)
    emptied.weight = nn.Parameter(emptied.weight[:, :0].detach())
    model = nn.Sequential(halved(32, 64), nn.Linear(64, 32), halved(2, 64), halved(32, 60), emptied)
    assert convertible(model) == ["0"]


def test_a_model_without_the_pattern_is_told():
    with pytest.raises(PrunusError, match=r"Sequential has no linear layer .* pattern 2:4"):
        to_semi_structured(nn.Sequential(nn.Linear(64, 32)))


def test_a_machine_without_a_gpu_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PrunusError, match="need a GPU"):
        to_semi_structured(nn.Sequential(halved(32, 64)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_sparse_tensors_answer_as_the_zeros_do():
    model = nn.Sequential(halved(64, 128), nn.GELU(), nn.Linear(64, 3))
    half = to_semi_structured(model)
    assert isinstance(half[0].weight, torch.sparse.SparseSemiStructuredTensor)
    x = torch.randn(16, 128)
    near = half(x.cuda().half()).float().cpu()
    torch.testing.assert_close(near, model(x), rtol=1e-2, atol=1e-2)
    assert model[0].weight.device.type == "cpu"
