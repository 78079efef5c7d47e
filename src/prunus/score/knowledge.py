"""What a unit knows (K-prune, Park et al., ICLR 2024, arXiv 2308.03449, eq. 4 to 11)."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class Knowledge(Criterion):
    """lam_pred K_pred + lam_rep K_rep of a unit, before it is divided by the unit's cost.

    K_pred = 1/2 (dL/dm)^2 of the divergence L from the dense model, m one mask a dimension of the
    reader's input, gradients averaged over a batch and squares summed over batches, per sample.
    K_rep = mean over tokens of x^2, times the mean over outputs of w^2. Both are averaged over the
    dimensions of a head. At a model that still equals the dense one K_pred is 0: the criterion is
    meant for ``drive: sweep``, which scores anew as sublayers are pruned.

    Attributes:
        temperature: T of the divergence T^2 KL(p_T || q_T).
        lam_pred: weight of predictive knowledge.
        lam_rep: weight of representational knowledge.
        head_weight: mu, the factor on heads.
    """

    reads: ClassVar[tuple[str, ...]] = ("batch_gradient_square", "square")
    loss: ClassVar = "teacher"
    temperature: Positive = 2.0
    lam_pred: NotNegative = 1.0
    lam_rep: NotNegative = 2.5e-4
    head_weight: Positive = 64.0

    def score(self, evidence: Evidence) -> Tensor:
        """[units] knowledge of every unit."""
        predictive = evidence.seen["batch_gradient_square"] / 2 / evidence.samples
        spread = evidence.inlet.double().square().mean(1)
        representational = evidence.seen["square"] / evidence.tokens * spread
        known = self.lam_pred * predictive + self.lam_rep * representational
        units = evidence.per_unit(known).mean(1)
        return units * self.head_weight if evidence.site.kind in HEADS else units


HEADS = ("heads", "queries")
