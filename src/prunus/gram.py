"""What second moments answer: the best weights for the inputs that stay, and which may go first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from prunus import ranks
from prunus.curve import Curve

PANEL = 256
CHUNK = 2048
EPSILON = 1e-12
"""Keeps the factor defined where no input varies at all."""
TOLERANCE = 1e-8
"""Of a residual, relative to the right-hand side."""


@dataclass
class Moments:
    """Weighted sums over tokens of inputs x and of what an output should be, y, in float64.

    Attributes:
        gram: [inputs, inputs] sum of w x x^T.
        cross: [inputs, outputs] sum of w x y^T.
        x: [inputs] sum of w x.
        y: [outputs] sum of w y.
        tokens: sum of w; the number of tokens where each weighs 1.
    """

    gram: Tensor
    cross: Tensor
    x: Tensor
    y: Tensor
    tokens: float = 0.0
    _waiting: list[tuple[Tensor, Tensor]] = field(default_factory=list, repr=False)
    _rounded: bool = field(default=False, repr=False)

    @classmethod
    def zeros(cls, inputs: int, outputs: int, device: torch.device) -> "Moments":
        """Nothing seen yet."""
        gram, cross, x, y = (
            torch.zeros(shape, dtype=torch.float64, device=device)
            for shape in ((inputs, inputs), (inputs, outputs), (inputs,), (outputs,))
        )
        return cls(gram, cross, x, y)

    def add(self, x: Tensor, y: Tensor | None = None, weight: Tensor | None = None) -> None:
        """Count tokens.

        Products are taken in float32 a chunk at a time and summed in float64: as exact as float64
        throughout where it matters, at the speed of float32. Of inputs in half precision the
        factors are rounded to it, where that is faster; their products are summed as ever. What has
        been added counts once :meth:`flush` was called.

        Args:
            x: [token, inputs].
            y: [token, outputs], where the moments have outputs.
            weight: [token] above 0; None weighs each token 1.
        """
        self._rounded = x.dtype.itemsize < torch.float32.itemsize
        x = x.detach().to(torch.promote_types(x.dtype, torch.float32))
        y = x[:, :0] if y is None else y.detach().to(x.dtype)
        self.tokens += len(x) if weight is None else float(weight.double().sum())
        if weight is not None:
            root = weight.to(x.dtype).sqrt()[:, None]
            x, y = x * root, y * root
            self.x += (x.double() * root).sum(0)
            self.y += (y.double() * root).sum(0)
        else:
            self.x += x.sum(0, dtype=torch.float64)
            self.y += y.sum(0, dtype=torch.float64)
        self._waiting.append((x, y))
        if sum(len(x) for x, _ in self._waiting) >= CHUNK:
            self.flush()

    def flush(self) -> "Moments":
        """Take the products of what waits."""
        if self._waiting:
            xs, ys = zip(*self._waiting, strict=True)
            self._waiting.clear()
            with _products(xs[0].device, rounded=self._rounded):
                self._add_products(torch.cat(xs), torch.cat(ys))
        return self

    def _add_products(self, x: Tensor, y: Tensor) -> None:
        for some, others in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
            _add_gram(self.gram, some)
            self.cross += some.T @ others

    def sums(self) -> dict[str, Tensor]:
        """What adds up over parts of the data, by name; nothing must wait."""
        tokens = torch.tensor(self.tokens, dtype=torch.float64)
        return {"gram": self.gram, "cross": self.cross, "x": self.x, "y": self.y, "tokens": tokens}

    def centred(self) -> "Moments":
        """Covariances: the same moments about the means, which is what fitting a bias asks for."""
        x, y = self.x / self.tokens, self.y / self.tokens
        return Moments(
            self.gram - self.tokens * torch.outer(x, x),
            self.cross - self.tokens * torch.outer(x, y),
            torch.zeros_like(x),
            torch.zeros_like(y),
            self.tokens,
        )

    def less(self, bias: Tensor) -> "Moments":
        """The moments with y - bias in the place of y."""
        cross = self.cross - torch.outer(self.x, bias)
        return Moments(self.gram, cross, self.x, self.y - self.tokens * bias, self.tokens)

    def of(self, inputs: Tensor) -> "Moments":
        """The moments of some inputs, a mask or indices."""
        rows = self.gram[inputs]
        return Moments(rows[:, inputs], self.cross[inputs], self.x[inputs], self.y, self.tokens)


def total(seen: Moments | None) -> Moments | None:
    """The moments of all data, of which every rank has seen a share; None where nobody saw any."""
    if ranks.world() == 1:
        return seen and seen.flush()
    sums = ranks.total({} if seen is None else seen.flush().sums())
    return Moments(**{**sums, "tokens": float(sums["tokens"])}) if sums else None  # type: ignore


@contextmanager
def _products(device: torch.device, *, rounded: bool) -> Iterator[None]:
    """Products of float32 matrices whose factors may be rounded, for hardware that gains by it."""
    cuda = device.type == "cuda"
    backends: Any = torch.backends
    backend = backends.cuda.matmul if cuda else backends.mkldnn.matmul
    before = backend.fp32_precision
    try:
        if rounded:
            backend.fp32_precision = "tf32" if cuda else "bf16"
        yield
    finally:
        backend.fp32_precision = before


def _add_gram(total: Tensor, x: Tensor) -> None:
    """Total += x^T x by panels on and above the diagonal, which is half the work."""
    for start in range(0, x.shape[1], PANEL):
        end = start + PANEL
        panel = x[:, start:end].T @ x[:, start:]
        total[start:end, start:] += panel
        total[end:, start:end] += panel[:, PANEL:].T


def fit(seen: Moments, weight: Tensor, ridge: float, *, centred: bool) -> tuple[Tensor, Tensor]:
    """The ridge regression of y on x, drawn towards given weights.

    W' = W + (C_xx + r I)^-1 (C_xy - C_xx W), b' = mean(y) - mean(x) W', with C the covariances
    (second moments where there is no bias) and r = ridge * mean(diag C_xx); by Cholesky in
    float64. Without inputs, b' = mean(y).

    Args:
        seen: moments of the inputs that stay.
        weight: [inputs, outputs] the weights as they are.
        ridge: relative ridge, at least 0.
        centred: fit a bias.

    Returns:
        ([inputs, outputs], [outputs]); the bias is zero where none is fitted.
    """
    about = seen.centred() if centred else seen
    if len(weight):
        factor = factor_of(about.gram, ridge)
        weight = weight + torch.cholesky_solve(about.cross - about.gram @ weight, factor)
    bias = (seen.y - seen.x @ weight) / seen.tokens
    return weight, bias if centred else torch.zeros_like(bias)


def fit_within(gram: Tensor, weight: Tensor, stays: Tensor, ridge: float) -> Tensor:
    """The weights on a support that come nearest to x W, for every output by itself.

    W' minimises tr((W' - W)^T H (W' - W)) + r |W' - W|^2 over the support among all that is zero
    elsewhere, r = ridge * mean(diag H): conjugate gradients on the normal equations of all outputs
    at once (Hestenes and Stiefel 1952), with the diagonal as preconditioner, begun at W.

    Args:
        gram: [inputs, inputs] H, float64.
        weight: [inputs, outputs] W, float64.
        stays: [inputs, outputs] bool, the support.
        ridge: relative, above 0.
    """
    shift = ridge * gram.diagonal().mean() + EPSILON
    scale = (gram.diagonal() + shift)[:, None]
    found = weight * stays
    residual = (gram @ (weight - found)) * stays
    direction = residual / scale
    size = (residual * direction).sum(0)
    enough = TOLERANCE**2 * ((gram @ weight).square() / scale).sum(0)
    for _ in range(2 * len(gram)):
        if (size <= enough).all():
            break
        moved = (gram @ direction + shift * direction) * stays
        step = size / (direction * moved).sum(0).clamp_min(EPSILON**4)
        found = found + step * direction
        residual = residual - step * moved
        steepest = residual / scale
        before, size = size, (residual * steepest).sum(0)
        direction = steepest + size / before.clamp_min(EPSILON**4) * direction
    return found


def factor_of(gram: Tensor, ridge: float) -> Tensor:
    """The Cholesky factor of a Gram matrix with ``ridge`` times its mean diagonal added.

    Where the matrix is singular all the same, the ridge grows tenfold until it is not.
    """
    mean = gram.diagonal().mean()
    while True:
        damped = gram.clone()
        damped.diagonal().add_(ridge * mean + EPSILON)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if not failed:
            return factor
        ridge = max(10 * ridge, EPSILON)


def removals(
    gram: Tensor, weight: Tensor, tile: int, ridge: float, share: float, until: int = 0
) -> Curve:
    """The order in which units may go, and the loss as they go, the others making up for each.

    Optimal brain surgeon on groups (Hassibi & Stork 1993; Kurtic et al., ZipLM, arXiv 2302.04089):
    removing the inputs P of y = x W costs tr(W_P^T (H^-1_PP)^-1 W_P) when the rest is refitted,
    H = sum of x x^T. The cheapest units go first, a share of those left at a time with the joint
    cost of the batch, spread over it in proportion to their own; then weights and H^-1 follow.

    Args:
        gram: [inputs, inputs] H, float64.
        weight: [inputs, outputs] W, float64.
        tile: inputs of one unit.
        ridge: added to H, relative to its mean diagonal.
        share: of the units left, how many go at once; always at least one.
        until: stop when so many units are left; the curve then ends there.
    """
    inverse = torch.cholesky_inverse(factor_of(gram, ridge))
    left = torch.arange(len(gram) // tile)
    order, loss = [], [0.0]
    while len(left) > until:
        own = _own_costs(inverse, weight, tile)
        count = min(max(1, int(len(left) * share)), len(left) - until)
        cheapest = own.argsort(stable=True)[:count]
        gone, stays = _split(cheapest, len(left), tile)
        column = inverse[:, gone]
        factor = torch.linalg.cholesky(column[gone])
        moved = torch.cholesky_solve(weight[gone], factor)
        joint = float((weight[gone] * moved).sum())
        parts = own[cheapest].cumsum(0)
        loss += (loss[-1] + joint * parts / parts[-1].clamp_min(EPSILON)).tolist()
        order.append(left[cheapest.cpu()])
        column = column[stays]
        weight = weight[stays] - column @ moved
        inverse = inverse[stays][:, stays] - column @ torch.cholesky_solve(column.T, factor)
        left = left[_complement(cheapest.cpu(), len(left))]
    return Curve(torch.cat(order), torch.tensor(loss, dtype=torch.float64))


def _own_costs(inverse: Tensor, weight: Tensor, tile: int) -> Tensor:
    """[units] what each unit would cost alone."""
    if tile == 1:
        return weight.square().sum(1) / inverse.diagonal()
    units = len(inverse) // tile
    blocks = inverse.reshape(units, tile, units, tile).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    own = weight.reshape(units, tile, -1)
    return (own * torch.linalg.solve(blocks, own)).sum((1, 2))


def _split(units: Tensor, count: int, tile: int) -> tuple[Tensor, Tensor]:
    """Indices of the inputs of some units, and of the inputs of all others."""
    gone = (units[:, None] * tile + torch.arange(tile, device=units.device)).flatten()
    return gone, _complement(gone, count * tile)


def _complement(indices: Tensor, count: int) -> Tensor:
    mask = torch.ones(count, dtype=torch.bool, device=indices.device)
    mask[indices] = False
    return mask.nonzero()[:, 0]


def root(matrix: Tensor) -> Tensor:
    """[n, n] the symmetric square root of a positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
