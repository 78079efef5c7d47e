"""Linear layers that skip their zeros, and are to all others the layers that they were."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from prunus.sparse._kernel import kernel_of, multiply, sparse_linear
from prunus.sparse._runs import Runs, length_of


def matrix_of(layer: Any) -> Tensor:
    """The weight of an ``nn.Linear`` or a ``Conv1D``, [outputs, inputs]."""
    weight = layer.weight.detach()
    return weight.T if isinstance(layer, Conv1D) else weight


class Sparse(nn.Module):
    """What both classes do: hold the runs of their weight, and multiply with those.

    The parameters stay beside them, the same as before but frozen, so that whoever reads,
    saves, counts or ties it finds what there was. Runs are read anew when a checkpoint is loaded;
    whoever writes into the weight or the bias calls :meth:`pack`.

    Attributes:
        kernel: ``c`` or ``numba``.
        length: how many outputs a run has.
    """

    weight: Tensor
    bias: Tensor | None
    kernel: str
    length: int

    def pack(self) -> None:
        """Read the zeros anew; nothing where the weight is not in float32 on the CPU."""
        if self.weight.dtype == torch.float32 and self.weight.device.type == "cpu":
            self._runs = Runs.of(self.matrix(), self.bias, self.length)

    def matrix(self) -> Tensor:
        """The weight, [outputs, inputs]."""
        return matrix_of(self)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's outputs, [..., inputs] -> [..., outputs], without a gradient.

        Raises:
            PrunusError: ``x`` is not float32 on the CPU.
        """
        runs = self._runs
        if torch.compiler.is_compiling() or (x.requires_grad and torch.is_grad_enabled()):
            held = (runs.starts, runs.columns, runs.values, runs.bias)
            return sparse_linear(x, *held, runs.shape[0], self.kernel)
        return multiply(x, runs, self.kernel)

    def _take(self, dense: Any, kernel: str | None) -> None:
        self.weight, self.bias = dense.weight, dense.bias
        self.requires_grad_(False)
        self.kernel, self.length = kernel_of(kernel), length_of(self.matrix())
        self.train(dense.training).pack()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Sparse":
        super()._apply(fn, recurse)
        self.pack()
        return self

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self.pack()


class SparseLinear(Sparse, nn.Linear):
    """An ``nn.Linear`` whose zeros cost nothing.

    Args:
        dense: the layer whose place it takes; its parameters are shared, its weight is frozen.
        kernel: ``c``, ``numba``, or the fastest that works here.

    Raises:
        PrunusError: the kernel does not work here.
    """

    def __init__(self, dense: nn.Linear, kernel: str | None = None) -> None:
        sizes = (dense.in_features, dense.out_features, dense.bias is not None)
        nn.Linear.__init__(self, *sizes, device="meta")
        self._take(dense, kernel)


class SparseConv1D(Sparse, Conv1D):
    """GPT-2's linear layer, whose weight lies as [inputs, outputs]; as :class:`SparseLinear`."""

    def __init__(self, dense: Conv1D, kernel: str | None = None) -> None:
        with torch.device("meta"):
            Conv1D.__init__(self, dense.nf, dense.nx)
        self._take(dense, kernel)
