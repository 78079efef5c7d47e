"""Layer and group norms over the channels that stay, each weighed by its value."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from prunus.site import Site, along


def by_row(value: Tensor, x: Tensor) -> Tensor:
    """Values of samples, [sample, width], for x, which may have several rows of each."""
    if value.dim() == 1:
        return value
    return value.repeat_interleave(x.shape[0] // value.shape[0], dim=0)


@contextmanager
def renormed(model: nn.Module, chosen: Sequence[tuple[Site, Tensor]]) -> Iterator[None]:
    """Let norms that traced sites cross count their channels by the sites' values.

    Args:
        model: the model that the sites were read from.
        chosen: (site, [units] or [sample, units] values).
    """
    shares: dict[str, Tensor] = {}
    for site, value in chosen:
        for part in site.slices:
            norm = part.tensor.removesuffix(".weight")
            if norm in site.norms:
                size = model.get_parameter(part.tensor).numel()
                own = along(part, value, size)
                shares[norm] = shares[norm] * own if norm in shares else own
    if not shares:
        yield
        return
    with _Renormed({id(model.get_parameter(f"{n}.weight")): own for n, own in shares.items()}):
        yield


class _Renormed(TorchFunctionMode):
    """Computes the norms whose weights it knows over shares of channels."""

    def __init__(self, shares: dict[int, Tensor]) -> None:
        super().__init__()
        self._shares = shares

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (functional.layer_norm, functional.group_norm):
            x, size, weight, bias, eps = _told(*args, **(kwargs or {}))
            share = self._shares.get(id(weight))
            if share is not None and func is functional.layer_norm:
                return _normed(x.unsqueeze(-2), share, weight, bias, eps).squeeze(-2)
            if share is not None:
                return _by_groups(x, size, share, weight, bias, eps)
        return func(*args, **(kwargs or {}))


def _told(
    input: Tensor, size: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, **more: Any
) -> tuple[Tensor, Any, Any, Any, float]:
    size = more.get("normalized_shape", more.get("num_groups", size))
    return input, size, weight, bias, eps


def _by_groups(
    x: Tensor, groups: int, share: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> Tensor:
    """A group norm of x [sample, channel, *space]."""
    turned = x.movedim(1, -1)
    return (
        _normed(turned.flatten(1, -2), share, weight, bias, eps, groups)
        .view_as(turned)
        .movedim(-1, 1)
    )


def _normed(
    x: Tensor, share: Tensor, weight: Tensor, bias: Tensor | None, eps: float, groups: int = 1
) -> Tensor:
    """X [sample, ..., place, channel], normalised over places and the channels of each group."""
    share = by_row(share.to(x), x)
    share = share.reshape(*share.shape[:-1], *[1] * (x.dim() - share.dim()), share.shape[-1])
    grouped = x.unflatten(-1, (groups, -1))
    own = share.unflatten(-1, (groups, -1)).expand_as(grouped)
    over = (-3, -1)
    total = own.sum(over, keepdim=True)
    centred = grouped - (own * grouped).sum(over, keepdim=True) / total
    spread = (own * centred.square()).sum(over, keepdim=True) / total
    normed = (centred * torch.rsqrt(spread + eps)).flatten(-2) * weight
    return normed if bias is None else normed + bias
