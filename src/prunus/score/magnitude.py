"""Large weights stay (Han et al., arXiv 1506.02626; Li et al., arXiv 1608.08710 for structures)."""

from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor

from prunus.errors import PrunusError
from prunus.probe import Evidence
from prunus.score import Criterion
from prunus.site import reduce


class Magnitude(Criterion):
    """Sum of |w| (l1) or of w^2 (l2) over the weights that a unit owns.

    Attributes:
        norm: l1 or l2 (squared, so that it adds up over weights).
        of: all the weights of a unit, in all its slices; or those that put it out alone, which of a
            channel are the filters that compute it (Li et al.).
        folded: each filter times gamma / sigma of the batch norm on its output, as it acts in
            evaluation (Yeom et al., arXiv 1912.08881); where a batch norm follows.
    """

    norm: Literal["l1", "l2"] = "l1"
    of: Literal["all", "outputs"] = "all"
    folded: bool = False

    @model_validator(mode="after")
    def _of_outputs(self) -> "Magnitude":
        if self.folded and self.of == "all":
            raise PrunusError("folded: batch norms are folded into filters; say of: outputs")
        return self

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] sums over the unit's weights.

        Raises:
            PrunusError: outputs of a site that has none.
        """
        site, weights = evidence.site, evidence.weights
        if self.of == "outputs":
            owned = evidence.filters(self.folded)
        else:
            owned = [(p, weights[p.tensor]) for p in site.slices if p.tensor in weights]
        sizes = [reduce(part, self._size(weight), site.shape) for part, weight in owned]
        return sizes[0] if len(sizes) == 1 else torch.stack(sizes).double().sum(0)

    def _size(self, weight: Tensor) -> Tensor:
        return weight.abs() if self.norm == "l1" else weight.square()
