"""Structured pruning low-rank adapters (Hedegaard et al., arXiv 2211.10155, section 4.1)."""

from torch import Tensor, nn

from prunus.adapt._adaptation import Centred, LowRankAdaptation
from prunus.adapt._adapter import Adapter


class Splora(LowRankAdaptation, Centred):
    """W + cols rows; in a convolution on the centre tap alone, so that a kernel costs nothing.

    The paper's adapter begins with an ``init_range`` of 1e-4 in its library, 1e-3 in its script.
    """

    def make(self, weight: Tensor, outputs: int, owner: nn.Module) -> Adapter:
        """Factors for a weight, or for its centre tap."""
        return self.factors(weight, outputs)
