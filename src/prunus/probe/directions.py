"""Scalars whose squared gradients add up to the curvature of the answers' divergence."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prunus.errors import PrunusError
from prunus.probe.loss import VALUES, Batch, answers, real_answers

EXACT = 4
"""Up to so many classes every direction is taken."""


@dataclass
class Directions:
    """Gauss-Newton directions of T^2 KL(p || softmax(z / T)) at the dense model's own answers.

    The curvature in the logits is diag(p) - p p^T, p = softmax(z / T). For one answer of at most
    four classes its C - 1 factors are taken one by one (for two: sqrt(p_0 p_1) (z_1 - z_0));
    otherwise random sums of factors, whose squares have the same mean. Numbers and hidden states
    have the curvature of their mean squared error. No labels are read.

    Attributes:
        temperature: T.
        draws: random sums for each batch.
        smoothing: how much of a batch's mean every token has that the answer depends on.
        seed: of the random signs.
    """

    temperature: float = 2.0
    draws: int = 1
    smoothing: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = torch.Generator().manual_seed(self.seed)

    def begin(self, place: int) -> None:
        """Draw for the batch at a place in the data: its signs are the same whoever sees it."""
        self._random.manual_seed(self.seed + place)

    def __call__(self, out: Mapping[str, Any], batch: Batch) -> Iterator[Tensor]:
        """The scalars of one batch, sums over its samples.

        Raises:
            PrunusError: the model answers nothing that is known.
        """
        said = answers(out)
        if not said:
            raise PrunusError(f"nothing to measure curvature of in the model's answer {list(out)}")
        scale = len(said) ** -0.5
        alone = next(iter(said.values()))
        if len(said) == 1 and alone.dim() == 2 and 1 < alone.shape[-1] <= EXACT:
            for factor in factors((alone.detach() / self.temperature).softmax(-1)):
                yield (factor * alone).sum()
            return
        for _ in range(self.draws):
            parts = [self._drawn(name, z, batch) for name, z in said.items()]
            yield torch.stack(parts).sum() * (scale * self.draws**-0.5)

    def _drawn(self, name: str, z: Tensor, batch: Batch) -> Tensor:
        """A random sum of the factors of one answer; padding draws nothing."""
        counts = real_answers(z, batch)
        if counts is None:
            counts = torch.ones(z.shape[:-1], dtype=torch.bool)
        counts = counts.to(z.device)
        rows = z[counts]
        signs = (torch.randint(2, rows.shape, generator=self._random) * 2 - 1).to(rows)
        if name in VALUES or z.shape[-1] == 1:
            each = counts.reshape(len(counts), -1).sum(1).clamp(min=1).to(rows) * z.shape[-1]
            sample = counts.nonzero()[:, 0]
            return (signs * rows / each[sample, None].sqrt()).sum()
        p = (rows.detach() / self.temperature).softmax(-1)
        root = p.sqrt() * signs
        return ((root - p * root.sum(-1, keepdim=True)) * rows).sum()


def factors(p: Tensor) -> Iterator[Tensor]:
    """The C - 1 columns f of diag(p) - p p^T = sum of f f^T, each [sample, C].

    With s_k = p_k + ... + p_(C-1), column k is sqrt(p_k s_(k+1) / s_k) at k, and
    -p_j sqrt(p_k / (s_k s_(k+1))) at j > k.

    Args:
        p: [sample, C] probabilities.
    """
    tails = p.flip(-1).cumsum(-1).flip(-1).clamp_min(1e-30)
    for k in range(p.shape[-1] - 1):
        own, here, after = p[:, k], tails[:, k], tails[:, k + 1]
        factor = torch.zeros_like(p)
        factor[:, k] = (own * after / here).sqrt()
        factor[:, k + 1 :] = -p[:, k + 1 :] * (own / (here * after)).sqrt()[:, None]
        yield factor
