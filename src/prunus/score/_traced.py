"""Criteria that read what weights and gradients leave behind, step by step or in one pass."""

from typing import ClassVar, Literal

from torch import Tensor

from prunus.errors import PrunusError
from prunus.probe import Evidence
from prunus.score._criterion import Criterion
from prunus.site import reduce


class Traced(Criterion):
    """A criterion that reads one trace, see :mod:`prunus.probe._traces`.

    While a network trains, the trace fades by ``fading``; in one pass over data every batch counts
    alike.

    Attributes:
        reduce: of the values of a unit's weights their mean, their sum, or the largest (of blocks
            of one weight, in training).
        fading: (what stays of the steps before, the weight of a new step).
    """

    loss: ClassVar = "labels"
    per_cost: ClassVar[bool] = False
    reduce: Literal["mean", "sum", "max"] = "mean"

    @property
    def fading(self) -> tuple[float, float]:
        """Only the last step counts."""
        return 0.0, 1.0

    @property
    def fine(self) -> bool:
        """Whether single weights must be told apart."""
        return self.reduce == "max"

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] the trace of every unit.

        Raises:
            PrunusError: there is none, or none of single weights.
        """
        site = evidence.site
        if self.reads[0] not in evidence.seen:
            raise PrunusError(
                f"site {site.name!r}: its weights got no gradient; are they frozen, or unused?"
            )
        found = evidence.seen[self.reads[0]]
        if self.fine and evidence.size > 1 and tuple(found.shape) == site.shape:
            raise PrunusError(
                f"site {site.name!r}: reduce: max needs the values of single weights, which only a"
                " training keeps, and only of blocks of one weight; use mean or sum"
            )
        if tuple(found.shape) != site.shape:
            by = "max" if self.reduce == "max" else "sum"
            found = reduce(site.slices[0], found, site.shape, by)
        averaged = self.reduce == "mean" and evidence.size > 1
        return found / evidence.size if averaged else found
