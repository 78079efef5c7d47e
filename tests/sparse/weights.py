"""Weights whose zeros lie in blocks."""

import torch
from torch import Tensor


def blocks(outputs: int, inputs: int, density: float, rows: int, columns: int = 1) -> Tensor:
    """[outputs, inputs], random; blocks at the edges are cut off."""
    places = (-(-outputs // rows), -(-inputs // columns))
    live = (torch.rand(places) < density).repeat_interleave(rows, 0).repeat_interleave(columns, 1)
    return torch.randn(outputs, inputs) * live[:outputs, :inputs]


def sparse_encoder(model, density: float = 0.1, rows: int = 4):
    """A model whose weight matrices, all but embeddings and small heads, hold blocks of zeros."""
    from prunus.sparse._layer import matrix_of
    from prunus.sparse._sparsify import CLASSES

    for module in model.modules():
        if type(module) in CLASSES and matrix_of(module).shape[0] > 3:
            matrix = matrix_of(module)
            matrix.mul_(blocks(*matrix.shape, density, rows) != 0)
    return model
