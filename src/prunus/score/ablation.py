"""The measured loss of doing without a unit."""

from typing import ClassVar

from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion


class Ablation(Criterion):
    """Mean over samples of how much the divergence from the dense model rises without a unit.

    Nothing is estimated: every unit is masked out by itself, in one forward pass over the data
    each, which is affordable for sublayers, layers and heads. With ``drive: iterative`` this is how
    2SSP (Sandri et al., TMLR 2025, arXiv 2501.17771) drops attentions, there by perplexity.
    Scores are below 0 where the model answers more like the dense one without the unit.
    """

    reads: ClassVar[tuple[str, ...]] = ("ablation",)
    loss: ClassVar = "teacher"

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] mean rise of the loss."""
        return evidence.seen["ablation"] / evidence.samples
