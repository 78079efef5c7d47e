"""A model whose sparse layers run on a sparse kernel, each one where that is faster."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from prunus.errors import PrunusError
from prunus.measure.latency import latency
from prunus.sparse._kernel import kernel_of
from prunus.sparse._layer import Sparse, SparseConv1D, SparseLinear, matrix_of
from prunus.sparse._runs import density_of, length_of

CLASSES: dict[type, type[Sparse]] = {nn.Linear: SparseLinear, Conv1D: SparseConv1D}
FULL = 0.9
"""A density above which zeros buy nothing, and nothing is timed."""
GAIN = 1.1
"""The speed-up from which on a layer is replaced."""
PAIRS, SECONDS = 5, 0.004
"""How often, and how long at a time, a layer is timed."""


@dataclass(frozen=True)
class Layer:
    """A linear layer of a model, and what became of it.

    Attributes:
        name: of the module.
        length: how many neighbouring outputs a run of it has: 1, 4, 16 or 32.
        density: share of its weight that lies in runs with anything but zeros.
        speedup: dense time / sparse time, where that was measured.
        left: why it is still dense; "" where it was replaced.
    """

    name: str
    length: int
    density: float
    speedup: float | None = None
    left: str = ""


def sparsify(
    model: nn.Module,
    *,
    density: float | None = None,
    tokens: int = 128,
    kernel: str | None = None,
) -> list[Layer]:
    """Let linear layers skip their zeros, in place, where that is faster than dense.

    Each layer is timed dense and sparse, in turns, with torch's present number of threads; of
    layers alike one is timed. Afterwards the model is for inference, on the CPU in float32. Its
    state is the same, and so are its answers to the rounding of sums.

    Args:
        model: any model with zeros in an ``nn.Linear`` or GPT-2's ``Conv1D``.
        density: replace layers up to this density, and time none.
        tokens: how many rows a layer gets in one call when it is timed: batch size times length.
        kernel: ``c``, ``numba``, or the fastest that works here.

    Returns:
        Every linear layer, in the model's order.

    Raises:
        PrunusError: nothing was replaced, no kernel works here, a number is out of range, or
            ``model`` is a linear layer itself.
    """
    if tokens < 1 or not 0 <= (density or 0) <= 1:
        raise PrunusError(f"sparsify: 0 <= density <= 1 <= tokens; got {density} and {tokens}")
    if type(model) in CLASSES:
        raise PrunusError(
            f"sparsify replaces layers in their model, and this is a {type(model).__name__} itself:"
            f" use {CLASSES[type(model)].__name__}(layer)"
        )
    trial = _Trial(kernel_of(kernel), density, tokens)
    found = []
    for name, module in list(model.named_modules()):
        if type(module) in CLASSES:
            layer, sparse = trial.of(name, module)
            found.append(layer)
            if sparse is not None:
                _replace(model, module, sparse)
    if all(layer.left for layer in found):
        raise PrunusError(_nothing(model, found))
    return found


@dataclass
class _Trial:
    """Layers dense and sparse, in turns."""

    kernel: str
    density: float | None
    tokens: int
    speedups: dict[tuple[object, ...], float] = field(default_factory=dict)

    def of(self, name: str, dense: nn.Module) -> tuple[Layer, Sparse | None]:
        """What becomes of a layer, and the one in its place."""
        fault = _unfit(dense)
        if fault:
            return Layer(name, 1, 1.0, left=fault), None
        matrix = matrix_of(dense)
        length = length_of(matrix)
        layer = Layer(name, length, density_of(matrix, length))
        limit = FULL if self.density is None else self.density
        if layer.density > limit:
            return replace(layer, left=f"its density is above {limit:g}"), None
        learnt = [p for p in dense.parameters() if p.requires_grad]
        sparse = CLASSES[type(dense)](dense, self.kernel)
        speedup = None if self.density is not None else self._speedup(dense, sparse, layer.density)
        layer = replace(layer, speedup=speedup)
        if speedup is None or speedup >= GAIN:
            return layer, sparse
        for parameter in learnt:
            parameter.requires_grad_()
        return replace(layer, left="dense is as fast"), None

    def _speedup(self, dense: nn.Module, sparse: Sparse, density: float) -> float:
        outputs, inputs = sparse.matrix().shape
        alike = (type(dense), outputs, inputs, sparse.length, round(density, 2))
        if alike not in self.speedups:
            x = torch.randn(self.tokens, inputs)
            timed = latency(dense, sparse, x, pairs=PAIRS, min_seconds=SECONDS)
            self.speedups[alike] = timed.speedup
        return self.speedups[alike]


def _unfit(module: Any) -> str:
    """Why a layer cannot be sparse, "" where it can."""
    weight = module.weight
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        return f"its weight is {weight.dtype} on {weight.device}, not float32 on the CPU"
    if module._forward_hooks or module._forward_pre_hooks:
        return "it has hooks, such as those of masks: settle them first"
    return "" if weight.numel() else "it is empty"


def _replace(model: nn.Module, dense: nn.Module, sparse: nn.Module) -> None:
    """In every place that has it."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if child is dense:
                setattr(parent, name, sparse)


def _nothing(model: nn.Module, found: list[Layer]) -> str:
    reasons = Counter(layer.left for layer in found)
    told = "; ".join(f"{count} layers: {left}" for left, count in reasons.most_common(3))
    return (
        f"{type(model).__name__} has no linear layer that is faster sparse"
        f" ({told or 'it has none at all'}). Prune blocks of 4x1, 16x1, 32x1 or 32x32. Single zeros"
        " pay where four in five weights or more are zero, and 2:4 on no processor: half of the"
        " weights is too many, one by one, and in runs almost all of them are there"
    )
