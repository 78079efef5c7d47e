"""Layers that are fast because their weights are zero: kernels for a processor, and their users."""

from prunus.sparse._layer import SparseConv1D, SparseLinear
from prunus.sparse._sparsify import Layer, sparsify

__all__ = ["Layer", "SparseConv1D", "SparseLinear", "sparsify"]
