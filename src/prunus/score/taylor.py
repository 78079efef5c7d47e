"""First-order change of the loss when a unit goes (Molchanov et al., arXiv 1611.06440)."""

from typing import ClassVar, Literal

from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion


class Taylor(Criterion):
    """|dL/dm|, m the unit's mask, which is |sum of activation x gradient|.

    Attributes:
        at: ``mask``: where the unit is masked, summed over positions: the change of the loss.
            ``outputs``: h dL/dh where the unit is put out, before norms and activations, averaged
            over positions (Molchanov et al., eq. 8; Yeom et al., arXiv 1912.08881).
        per: ``sample`` averages the size over samples; ``batch`` lets samples cancel, and takes the
            size of the sum over all batches, as Yeom et al. do.
    """

    loss: ClassVar = "labels"
    at: Literal["mask", "outputs"] = "mask"
    per: Literal["sample", "batch"] = "sample"

    @property
    def reads(self) -> tuple[str, ...]:
        """The one statistic of these settings."""
        return (STATISTICS[self.at, self.per],)

    @property
    def adds_up(self) -> bool:
        """Not where positions are averaged: layers with few of them would count for more."""
        return super().adds_up and self.at == "mask"

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] size of the mask's gradient."""
        return evidence.seen[self.reads[0]].abs() / evidence.samples


STATISTICS = {
    ("mask", "sample"): "gradient_abs",
    ("mask", "batch"): "gradient",
    ("outputs", "sample"): "output_product_abs",
    ("outputs", "batch"): "output_product",
}
