"""Whether a traced network was followed rightly: cut at random, it answers as if masked."""

from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prunus.anatomy import Anatomy
from prunus.edit._answer import weightless
from prunus.edit._frozen import frozen
from prunus.edit.mask import mask
from prunus.edit.shrink import shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.site import Site

APART = 1e-2
"""How far, of the largest answer, rounding may put the two apart: a wrong cut is off by more."""


def prove(model: nn.Module, sites: Anatomy) -> None:
    """Cut a random half of the channels and compare with the same network masked.

    Args:
        model: any module; it is left as it is.
        sites: its anatomy; nothing is done where it was not traced.

    Raises:
        PrunusError: the cut network cannot compute (its code tells sizes by number), or answers
            otherwise.
    """
    channels = {name: site for name, site in sites.items() if site.inlets}
    if not channels or sites.example is None or weightless(model):
        return
    drawn = torch.Generator().manual_seed(0)
    plan = Plan({name: _half(site, drawn) for name, site in channels.items()})
    example = {name: _noise(value, drawn) for name, value in sites.example.items()}
    with frozen(model), torch.no_grad(), mask(model, sites, plan):
        masked = _numbers(model(**example))
    small = shrink(model, plan, sites)
    with frozen(small), torch.no_grad():
        shrunk = _numbers(computed(small, example))
    scale = max(float(masked.abs().max()), 1e-6)
    apart = float((masked - shrunk).abs().max())
    if not apart <= APART * scale:
        raise PrunusError(
            f"{type(model).__name__}: without half of its channels the network answers"
            f" otherwise than with them masked (apart by {apart:.3g}, answers up to {scale:.3g}):"
            " it computes with channels in a way that prunus does not see; leave it whole, or prune"
            " grids of its weights"
        )


def computed(model: nn.Module, example: Any) -> Any:
    """What a cut network gives.

    Raises:
        PrunusError: it cannot compute; the innermost module at fault is told.
    """
    path: list[str] = []

    def enter(name: str, *_: Any) -> None:
        path.append(name)

    def leave(*_: Any) -> None:
        path.pop()

    with ExitStack() as undo:
        for name, module in model.named_modules():
            undo.callback(module.register_forward_pre_hook(partial(enter, name)).remove)
            undo.callback(module.register_forward_hook(leave).remove)
        try:
            return model(**example)
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise PrunusError(
                f"{path[-1] or type(model).__name__} cannot compute with fewer channels: its code"
                f" tells their number ({str(error).splitlines()[0]}); let it take sizes from its"
                " tensors, or leave it whole"
            ) from None


def _half(site: Site, drawn: torch.Generator) -> Tensor:
    stays = torch.zeros(site.units, dtype=torch.bool)
    order = torch.randperm(site.units, generator=drawn)
    stays[order[: max(site.least, site.units // 2)]] = True
    return stays


def _noise(value: Any, drawn: torch.Generator) -> Any:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return torch.randn(value.shape, generator=drawn).to(value)


def _numbers(out: Any) -> Tensor:
    """Everything in an output, as one vector."""
    if isinstance(out, Tensor):
        return out.detach().flatten().double().cpu()
    values = out.values() if hasattr(out, "values") else out
    parts = [_numbers(part) for part in values if isinstance(part, Tensor | tuple | list | dict)]
    return torch.cat(parts) if parts else torch.zeros(1).double()
