"""New weights for the units that stay, in closed form (K-prune, arXiv 2308.03449, eq. 12)."""

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from prunus.probe import Moments, moments
from prunus.probe.loss import Batch
from prunus.recover import Repair
from prunus.site import Site


class LeastSquares(Repair):
    """Fit the reader so that the residual stream after it equals the dense model's.

    Attributes:
        ridge: pull towards the weights as they are, relative to the mean variance of an input.
    """

    ridge: Annotated[float, Field(gt=0)] = 0.03

    def repair(
        self,
        student: nn.Module,
        teacher: nn.Module,
        site: Site,
        stays: Tensor,
        batches: Iterable[Batch],
    ) -> None:
        """Write the fitted weight (columns that stay) and bias into the student's reader."""
        seen = moments(student, teacher, site, batches)
        bias = getattr(student.get_submodule(site.reader), "bias", None)
        weight = student.get_parameter(site.inlet.tensor).detach().movedim(site.inlet.axis, 0)
        centred = isinstance(bias, Tensor)
        fitted, constant = solve(seen, weight.double(), stays, self.ridge, centred=centred)
        weight[stays] = fitted.to(weight)
        if isinstance(bias, Tensor):
            bias.detach().copy_(constant)


def solve(
    seen: Moments, weight: Tensor, stays: Tensor, ridge: float, *, centred: bool
) -> tuple[Tensor, Tensor]:
    """The ridge regression of y on the inputs that stay, drawn towards the given weights.

    W' = W_S + (C_SS + r I)^-1 (C_Sy - C_SS W_S), b' = mean(y) - mean(x_S) W', with C the
    covariances (second moments where there is no bias) and r = ridge * mean(diag C_SS). Solved in
    float64 by Cholesky. Without inputs, b' = mean(y).

    Args:
        seen: moments of the reader's whole input.
        weight: [inputs, outputs] the weights as they are.
        stays: [inputs] True where the input stays.
        ridge: relative ridge, above 0.
        centred: fit a bias.

    Returns:
        ([inputs that stay, outputs], [outputs]); the bias is zero where none is fitted.
    """
    stays = stays.to(seen.gram.device)
    x, y = seen.x[stays] / seen.tokens, seen.y / seen.tokens
    gram = seen.gram[stays][:, stays] / seen.tokens
    cross = seen.cross[stays] / seen.tokens
    if centred:
        gram, cross = gram - torch.outer(x, x), cross - torch.outer(x, y)
    kept = weight[stays]
    if len(kept):
        pull = ridge * gram.diagonal().mean() + EPSILON
        damped = gram + pull * torch.eye(len(kept), dtype=gram.dtype, device=gram.device)
        factor = torch.linalg.cholesky(damped)
        kept = kept + torch.cholesky_solve(cross - gram @ kept, factor)
    return kept, y - x @ kept if centred else torch.zeros_like(y)


EPSILON = 1e-12
"""Keeps the factor defined where no input varies at all."""
