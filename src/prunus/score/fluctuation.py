"""How much a unit's input fluctuates (FLAP, An et al., AAAI 2024, arXiv 2312.11983)."""

from typing import ClassVar

from torch import Tensor

from prunus.errors import PrunusError
from prunus.probe import Evidence
from prunus.score import Criterion

EPSILON = 1e-30


class Fluctuation(Criterion):
    """Variance over tokens of an input, times the squared norm of the weights that read it.

    S_i = Var(x_i) |w_i|^2: what is lost with an input once its mean is folded into the bias
    (``recover: bias``). Each site's inputs are then standardised, (S_i - mean S) / std S, and
    averaged over the inputs of a unit. That makes all sites comparable, but no sum of losses of it:
    the units of the whole model are ranked as they are, not by what they cost.
    """

    reads: ClassVar[tuple[str, ...]] = ("sum", "square")
    per_cost: ClassVar[bool] = False

    def score(self, evidence: Evidence) -> Tensor:
        """[units] standardised fluctuation.

        Raises:
            PrunusError: a site of a single unit, which nothing can be compared with.
        """
        site = evidence.site
        if site.units == 1 and site.kind in WHOLE:
            raise PrunusError(
                f"site {site.name!r} of kind {site.kind!r} is a single unit: fluctuation compares"
                " units within their site; name heads or neurons, or use score: ablation"
            )
        mean = evidence.seen["sum"] / evidence.tokens
        variance = (evidence.seen["square"] / evidence.tokens - mean.square()).clamp_min(0)
        each = variance * evidence.inlet.double().square().sum(1)
        standard = (each - each.mean()) / each.std(correction=0).clamp_min(EPSILON)
        return evidence.per_unit(standard).mean(1)


WHOLE = ("sublayers", "layers")
