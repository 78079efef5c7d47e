"""Low-rank deltas of whole kernels (Hu et al., arXiv 2106.09685, eq. 3)."""

from collections.abc import Sequence

from torch import Tensor, nn

from prunus.adapt._adaptation import LowRankAdaptation
from prunus.adapt._adapter import Adapter


class Lora(LowRankAdaptation):
    """W + cols rows; in a convolution rows hold its kernel: [rank, inputs, *kernel].

    There is no scale: alpha is the rank.
    """

    def fault(self, shape: Sequence[int]) -> str:
        """Any kernel will do."""
        return ""

    def make(self, weight: Tensor, outputs: int, owner: nn.Module) -> Adapter:
        """Factors for a weight."""
        return self.factors(weight, outputs, weight.shape[2:])
