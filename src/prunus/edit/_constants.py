"""What a reader is given that is the same whatever the model reads."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prunus.edit._frozen import frozen
from prunus.site import Site

ROUNDING = 16
"""By how many units in the last place a constant may vary: a softmax does not sum to 1 exactly."""


def constants(
    model: nn.Module, sites: Mapping[str, Site], batch: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The inputs of readers that no input of the model can change, and their values.

    A row of zeros makes a projection's output its bias; whether that makes the unit a constant is
    for the model to show: a neuron is one where its only factor is, or where one factor is 0; a
    head is one where its values are, but not where its queries or keys are. So two passes see
    noise, then the same with its sign turned, in place of every output whose row is not zero: what
    is still the same at every token of both is a constant of the network, not of the batch.
    Padding counts as tokens.

    Args:
        model: the model to look at.
        sites: heads and neurons; only those are tried that a row of zeros takes part in.
        batch: keyword arguments of one forward pass, of which any will do.

    Returns:
        {reader: [inputs] float64}, nan where the input varies or was not reached.
    """
    idle = {name: _idle(model, site) for name, site in sites.items()}
    tried = [
        site for name, site in sites.items() if any(rows.any() for rows in idle[name].values())
    ]
    rows = {module: rows for site in tried for module, rows in idle[site.name].items()}
    whole = {n: torch.ones_like(x) if n.endswith("attention_mask") else x for n, x in batch.items()}
    seen: dict[str, list[Tensor]] = {site.reader: [] for site in tried}
    for sign in (1, -1) if tried else ():
        with _noise(model, rows, sign), _watched(model, seen), frozen(model), torch.no_grad():
            model(**whole)
    return {name: _value(ends) for name, ends in seen.items() if ends}


def _idle(model: nn.Module, site: Site) -> dict[str, Tensor]:
    """{module that makes the units: [outputs] True where its weights are all zero}."""
    parts = {part.tensor: part.axis for part in site.weights if part != site.inlet}
    return {
        name.removesuffix(".weight"): ~model.get_parameter(name).detach().bool().any(1 - axis)
        for name, axis in parts.items()
    }


@contextmanager
def _noise(model: nn.Module, idle: Mapping[str, Tensor], sign: int) -> Iterator[None]:
    """Noise in place of what modules give, but where their weights are zero."""
    drawn = torch.Generator().manual_seed(0)

    def replace(own: Tensor, _: nn.Module, __: Any, out: Tensor) -> Tensor:
        return torch.where(own, out, sign * torch.randn(out.shape, generator=drawn).to(out))

    with ExitStack() as undo:
        for name, own in idle.items():
            hook = model.get_submodule(name).register_forward_hook(partial(replace, own))
            undo.callback(hook.remove)
        yield


@contextmanager
def _watched(model: nn.Module, seen: dict[str, list[Tensor]]) -> Iterator[None]:
    """Write down the least and the largest value of every input of the readers."""

    def watch(ends: list[Tensor], _: nn.Module, args: tuple[Any, ...]) -> None:
        ends.extend(args[0].flatten(0, -2).aminmax(dim=0))

    with ExitStack() as undo:
        for name, ends in seen.items():
            hook = model.get_submodule(name).register_forward_pre_hook(partial(watch, ends))
            undo.callback(hook.remove)
        yield


def _value(ends: list[Tensor]) -> Tensor:
    every = torch.stack(ends)
    low, high = every.amin(0), every.amax(0)
    rounding = ROUNDING * torch.finfo(every.dtype).eps * every.abs().amax(0)
    middle = (low.double() + high.double()) / 2
    return middle.masked_fill(~(high - low <= rounding), torch.nan)
