"""Layers with adapters: classes put before those of linear layers and convolutions."""

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from prunus.adapt._adapter import Adapter

CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


class Adapted(nn.Module):
    """Mixin before a layer's class: its frozen weight, and what its adapter adds.

    Attributes:
        holds: the name of the weight.
        outputs: the axis of its outputs.
        groups: of a convolution.
        fused: the effective weight is in the weight's place, as where a mask lies on it.
    """

    holds: ClassVar[str] = "weight"
    outputs: ClassVar[int] = 0
    groups: int = 1
    fused: bool = False
    adapter: Adapter

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output with its effective weight, which is computed where that is cheap."""
        if not self.fused and not self.adapter.apart:
            return self.apply_weight(x, self.effective_weight())
        out = super().forward(x)
        return out if self.fused else out + self.adapter(x, self)

    def effective_weight(self) -> Tensor:
        """The weight with its delta, differentiable; of the weight's shape."""
        return self.get_parameter(self.holds) + self.spread(self.adapter.matrix())

    def read(self, x: Tensor, matrix: Tensor) -> Tensor:
        """[..., inputs] times [n, inputs]: [..., n]."""
        return functional.linear(x, matrix)

    def mix(self, hidden: Tensor, matrix: Tensor) -> Tensor:
        """[..., hidden] times [outputs, hidden]: [..., outputs]."""
        return functional.linear(hidden, matrix)

    def apply_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's output, with a weight of its weight's shape."""
        return functional.linear(x, weight, self._parameters["bias"])

    def spread(self, matrix: Tensor) -> Tensor:
        """A delta as something of the weight's shape."""
        return matrix

    def centre(self, weight: Tensor) -> Tensor:
        """[outputs, inputs] where a delta lies in something of the weight's shape."""
        return weight


class AdaptedLinear(Adapted):
    """Before :class:`torch.nn.Linear`."""


class AdaptedConv1D(Adapted):
    """Before the transposed linear layer of GPT-2."""

    outputs: ClassVar[int] = 1

    def spread(self, matrix: Tensor) -> Tensor:
        """[outputs, inputs] to [inputs, outputs]."""
        return matrix.T

    def apply_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's output, with a weight [inputs, outputs]."""
        return super().apply_weight(x, weight.T)

    def centre(self, weight: Tensor) -> Tensor:
        """[inputs, outputs] to [outputs, inputs]."""
        return weight.T


class AdaptedConv(Adapted):
    """Before a convolution, of any stride, dilation, padding and number of groups.

    A delta without a kernel lies on the centre tap: a 1 x 1 convolution of the positions that the
    centre reads.
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding_mode: str
    _reversed_padding_repeated_twice: list[int]
    _conv_forward: Any

    def read(self, x: Tensor, matrix: Tensor) -> Tensor:
        """[n, inputs, *space] to what the layer makes of it, with the stride and groups it has."""
        if matrix.dim() > 2:
            return self._conv_forward(x, matrix, None)
        return self._pointwise(self._centred(x), matrix, self.stride)

    def mix(self, hidden: Tensor, matrix: Tensor) -> Tensor:
        """[n, groups x hidden, *space] to [n, outputs, *space]."""
        return self._pointwise(hidden, matrix, 1)

    def spread(self, matrix: Tensor) -> Tensor:
        """[outputs, inputs] on the centre tap of [outputs, inputs, *kernel]."""
        if matrix.dim() > 2:
            return matrix
        edges = [half for size in reversed(self.kernel_size) for half in [size // 2] * 2]
        return functional.pad(matrix[(...,) + (None,) * len(self.kernel_size)], edges)

    def apply_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """The layer's output, with a weight [outputs, inputs, *kernel]."""
        return self._conv_forward(x, weight, self._parameters["bias"])

    def centre(self, weight: Tensor) -> Tensor:
        """The centre tap of [outputs, inputs, *kernel]."""
        return weight[(..., *(size // 2 for size in self.kernel_size))]

    def _pointwise(self, x: Tensor, matrix: Tensor, stride: Any) -> Tensor:
        weight = matrix[(...,) + (None,) * len(self.kernel_size)]
        return CONVOLVE[len(self.kernel_size)](x, weight, stride=stride, groups=self.groups)

    def _centred(self, x: Tensor) -> Tensor:
        """The input, cropped or padded, so that the centre tap begins at its first position."""
        reach = [
            step * (size - 1) // 2
            for size, step in zip(self.kernel_size, self.dilation, strict=True)
        ]
        before = [half for own in reversed(reach) for half in (own, own)]
        pairs = zip(self._reversed_padding_repeated_twice, before, strict=True)
        edges = [padding - own for padding, own in pairs]
        if min(edges) < 0:
            x = functional.pad(x, [min(edge, 0) for edge in edges])
        if max(edges) > 0:
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = functional.pad(x, [max(edge, 0) for edge in edges], mode)
        return x
