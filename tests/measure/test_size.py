import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from prunus.errors import PrunusError
from prunus.measure import size


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10)
        self.head.weight = self.embed.weight
        self.norm = nn.BatchNorm1d(4)


def test_tied_parameters_count_once():
    assert size.parameters(Tied()) == 10 * 4 + 10 + 2 * 4


def test_parameters_over_the_same_memory_count_once():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = nn.Parameter(model[0].weight.data)
    assert size.parameters(model) == 9


def test_parameters_without_memory_are_counted():
    with torch.device("meta"):
        assert size.parameters(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))) == 24


def test_bytes_of_a_model_count_saved_buffers():
    buffers = 4 * 4 + 4 * 4 + 8
    assert size.bytes(Tied()) == 4 * size.parameters(Tied()) + buffers


def test_bytes_of_a_folder_are_those_of_its_weights(tmp_path):
    save_file({"a": torch.zeros(100)}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.zeros(100)}, tmp_path / "model-2.safetensors")
    (tmp_path / "vocab.txt").write_text("x" * 1000)
    assert 800 < size.bytes(tmp_path) < 1000


def test_a_folder_without_weights_is_told(tmp_path):
    with pytest.raises(PrunusError, match="safetensors"):
        size.bytes(tmp_path)
