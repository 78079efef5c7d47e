"""Structured pruning parallel residual adapters (Hedegaard et al., arXiv 2211.10155)."""

from torch import Tensor, nn

from prunus.adapt._adaptation import Centred, whole
from prunus.adapt._adapter import Adapter


class Sppara(Centred):
    """W + delta [outputs, inputs], of full rank; in a convolution on the centre tap alone."""

    def make(self, weight: Tensor, outputs: int, owner: nn.Module) -> Adapter:
        """A matrix for a weight, or for its centre tap."""
        return whole(self, weight, outputs)
