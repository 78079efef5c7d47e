"""Active units stay (Molchanov et al., arXiv 1611.06440, section 2.2)."""

from typing import ClassVar, Literal

from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion


class Activation(Criterion):
    """Mean over samples and positions of |h|, or h^2, h the output before norms and activations.

    Attributes:
        norm: l1 or l2 (squared).
    """

    reads: ClassVar[tuple[str, ...]] = ("output_size", "output_square")
    per_cost: ClassVar[bool] = False
    norm: Literal["l1", "l2"] = "l1"

    def score(self, evidence: Evidence) -> Tensor:
        """[units] mean size of what the unit puts out."""
        name = "output_size" if self.norm == "l1" else "output_square"
        return evidence.seen[name] / evidence.samples
