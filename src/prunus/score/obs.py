"""Optimal brain surgeon on whole units, under the curvature of the model's answers."""

from typing import Annotated, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from prunus.curve import Curve
from prunus.gram import removals
from prunus.probe import Directions, Evidence
from prunus.score import Criterion

Share = Annotated[float, Field(ge=0, le=1)]


class Obs(Criterion):
    """What the divergence from the dense model grows by as units go, the rest making up for them.

    A reader y = x W whose error dy_t costs w_t dy_t^T A dy_t (:class:`prunus.probe.Curvature`):
    removing the inputs P, the others refitted, costs tr(V_P^T (H^-1_PP)^-1 V_P) with V = W A^1/2
    and H the weighted covariance of x (Hassibi & Stork 1993; groups as in ZipLM, Kurtic et al.,
    arXiv 2302.04089). Units go greedily, in batches. One pass over the data serves all sublayers,
    and their curves are in one unit, so that budgets can be split between them.

    Attributes:
        temperature: of the answers' softmax.
        smoothing: how far the weights of tokens and outputs are drawn to their mean.
        ridge: added to H, relative to its mean diagonal.
        share: of the units that are left, how many go at once.
        draws: backward passes where there are more than four classes.
        seed: of their random signs.
    """

    reads: ClassVar[tuple[str, ...]] = ("curvature",)
    temperature: PositiveFloat = 2.0
    smoothing: Share = 0.1
    ridge: PositiveFloat = 0.01
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.125
    draws: PositiveInt = 1
    seed: int = 0

    @property
    def directions(self) -> Directions:
        """The curvature of the answers at this temperature."""
        return Directions(self.temperature, self.draws, self.smoothing, self.seed)

    def curve(self, evidence: Evidence) -> Curve:
        """The loss as a site's units go."""
        seen = evidence.curvature
        assert seen is not None
        weight = evidence.inlet.double() @ seen.root
        tile = len(weight) // evidence.site.units
        return removals(seen.inputs.centred().gram, weight, tile, self.ridge, self.share)

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] what each unit adds to the loss as it goes."""
        return self.curve(evidence).scores.reshape(evidence.site.shape)
