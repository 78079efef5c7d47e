"""Rules of layer-wise relevance propagation: how one layer hands relevance to its inputs.

Every rule splits a layer's relevance in proportion to parts that are linear in an input and a
weight: R_i = sum over parts of x_i (df/dx)_i^T (R / sum over parts of f(x, w)). Which parts, is the
rule (Bach et al. 2015, doi 10.1371/journal.pone.0130140; Montavon et al. 2019, doi
10.1007/978-3-030-28954-6_10, table 1). Biases have no part, so that relevance is conserved.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Part = tuple[Tensor, Tensor]
Linear = Callable[[Tensor, Tensor], Tensor]


def epsilon(x: Tensor, w: Tensor) -> list[Part]:
    """Contributions x w in proportion, whatever their sign."""
    return [(x, w)]


def flat(x: Tensor, w: Tensor) -> list[Part]:
    """1: all inputs alike."""
    return [(torch.ones_like(x), torch.ones_like(w))]


def positive(x: Tensor, w: Tensor) -> list[Part]:
    """(x w)+: the contributions above 0, of alpha-beta."""
    return _signed(x, w.clamp(min=0), w.clamp(max=0))


def negative(x: Tensor, w: Tensor) -> list[Part]:
    """(x w)-: those below 0."""
    return _signed(x, w.clamp(max=0), w.clamp(min=0))


def _signed(x: Tensor, over: Tensor, under: Tensor) -> list[Part]:
    """x+ with one half of the weights, and x- with the other where any x is below 0."""
    if bool((x >= 0).all()):
        return [(x, over)]
    return [(x.clamp(min=0), over), (x.clamp(max=0), under)]


def bounded(x: Tensor, w: Tensor, low: Tensor, high: Tensor) -> list[Part]:
    """Contributions x w - low w+ - high w-, of inputs between two bounds (z-beta)."""
    return [(x, w), (-low.expand_as(x), w.clamp(min=0)), (-high.expand_as(x), w.clamp(max=0))]


def split(f: Linear, parts: Sequence[Part], relevance: Tensor, stabiliser: float) -> Tensor:
    """A layer's relevance on its input.

    Args:
        f: the layer, linear in its input and in its weight.
        parts: (input, weight), of the input's shape.
        relevance: of the layer's output.
        stabiliser: what keeps sums away from 0.

    Returns:
        The relevance of the input; its sum is the output's where no sum is near 0.
    """
    inputs, outputs = [], []
    with torch.enable_grad(), torch.autocast(relevance.device.type, enabled=False):
        for x, w in parts:
            inputs.append(x.detach().requires_grad_())
            outputs.append(f(inputs[-1], w.detach()))
    total = outputs[0].detach() if len(parts) == 1 else torch.stack(outputs).detach().sum(0)
    share = relevance / stable(total, stabiliser)
    back = torch.autograd.grad(outputs, inputs, [share] * len(parts))
    products = [x.detach() * g for x, g in zip(inputs, back, strict=True)]
    return products[0] if len(products) == 1 else torch.stack(products).sum(0)


def stable(total: Tensor, stabiliser: float) -> Tensor:
    """A sum kept away from 0, on its own side of it."""
    return total + torch.where(total < 0, -stabiliser, stabiliser)
