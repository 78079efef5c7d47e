"""Layer-wise relevance as a criterion (Yeom et al., arXiv 1912.08881)."""

from typing import ClassVar

from torch import Tensor

from prunus.probe import Evidence, Relevance, Teacher
from prunus.probe.loss import Loss
from prunus.score import Criterion


class Lrp(Relevance, Criterion):
    """Sum over samples and positions of |R|, R the relevance where the unit is put out.

    The settings are those of :class:`prunus.probe.Relevance`. Layers inside of a gate (squeeze and
    excitation) have no relevance, and are refused as sites.
    """

    reads: ClassVar[tuple[str, ...]] = ("relevance",)
    loss: ClassVar = "labels"
    per_cost: ClassVar[bool] = False

    def target(self, teacher: Teacher | None) -> Loss:
        """What has relevance for its gradient."""
        return self.begin

    def score(self, evidence: Evidence) -> Tensor:
        """[units] sizes of relevance."""
        return evidence.seen["relevance"]
