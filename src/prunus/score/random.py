"""Chance: the baseline that every criterion must beat."""

import hashlib
from typing import ClassVar

import torch
from torch import Tensor

from prunus.probe import Evidence
from prunus.score import Criterion


class Random(Criterion):
    """Uniform scores, the same for the same seed and site whatever else is scored.

    Attributes:
        seed: another seed, another draw.
    """

    per_cost: ClassVar[bool] = False
    seed: int = 0

    def score(self, evidence: Evidence) -> Tensor:
        """[*grid] uniform in [0, 1)."""
        digest = hashlib.sha256(f"{self.seed}/{evidence.site.name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        return torch.rand(evidence.site.shape, generator=generator)
