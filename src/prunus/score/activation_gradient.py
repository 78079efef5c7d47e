"""The gradient where a unit is put out (compared by Yeom et al., arXiv 1912.08881)."""

from typing import ClassVar

from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion


class ActivationGradient(Criterion):
    """|sum over samples of the mean over positions of dL/dh|, h the output before norms."""

    reads: ClassVar[tuple[str, ...]] = ("output_gradient",)
    loss: ClassVar = "labels"
    per_cost: ClassVar[bool] = False

    def score(self, evidence: Evidence) -> Tensor:
        """[units] size of the mean gradient."""
        return evidence.seen["output_gradient"].abs() / evidence.samples
