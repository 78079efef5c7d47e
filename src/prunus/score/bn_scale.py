"""Large scales of batch norms stay (network slimming, Liu et al., arXiv 1708.06519)."""

from typing import ClassVar

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.probe import Evidence
from prunus.score import Criterion
from prunus.site import reduce


class BnScale(Criterion):
    """Sum of |gamma| over the batch norms that a unit goes through."""

    per_cost: ClassVar[bool] = False

    def score(self, evidence: Evidence) -> Tensor:
        """[units] sizes of scales.

        Raises:
            PrunusError: the site crosses no batch norm with a scale.
        """
        site, weights = evidence.site, evidence.weights
        tensors = {part.tensor for part in site.slices}
        batch_norms = {t.removesuffix(LEAF) for t in tensors if t.endswith(LEAF)}
        sizes = [
            reduce(part, weights[part.tensor].abs(), site.shape)
            for part in site.weights
            if part.tensor.removesuffix(".weight") in batch_norms
        ]
        if not sizes:
            raise PrunusError(
                f"site {site.name!r} of kind {site.kind!r} crosses no batch norm with a scale,"
                " which bn_scale reads; use magnitude, or leave it out of the sites"
            )
        return torch.stack(sizes).double().sum(0)


LEAF = ".running_var"
"""What batch norms have, and no other norm."""
