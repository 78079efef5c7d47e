"""Units that can go for nothing: nobody reads them, or what they give never changes."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prunus.anatomy import Anatomy, anatomy
from prunus.edit._constants import constants
from prunus.edit.shrink import cut, keeps
from prunus.plan import Plan
from prunus.site import Site

KINDS = ("heads", "queries", "neurons")


def dead(model: nn.Module, batch: Mapping[str, Tensor] | None = None) -> Plan:
    """The plan that keeps every head, query and neuron but those that are dead.

    A unit is dead where its reader's weights are all zero. Where only its producers' are, it may
    still give a constant, such as GELU(bias): it is dead too if that is 0, or if the reader has a
    bias that can take it over; else it stays. Query heads that share a key-value head go only as
    far as every such group has dead ones.

    Args:
        model: a transformers model of a known family.
        batch: keyword arguments of a forward pass, of which any will do, to look for constants
            with; None looks for zeros in the readers' weights alone.
    """
    sites = _sites(model)
    return _plan(model, sites, _constants(model, sites, batch))


def remove_dead(model: Any, batch: Mapping[str, Tensor] | None = None) -> Any:
    """A new, smaller model without its dead units, which answers the same.

    Args:
        model: as for :func:`dead`, like ``batch``; it stays as it is.
        batch: see there.

    Returns:
        A copy in which constants are folded into biases, b' = b + W_dead c, and which is then cut
        as :func:`prunus.edit.shrink` does.
    """
    small = copy.deepcopy(model)
    cut(small, fold_dead(small, batch), _sites(small))
    return small


def fold_dead(model: nn.Module, batch: Mapping[str, Tensor] | None = None) -> Plan:
    """The plan of :func:`dead`, without whose units the model then answers the same.

    Args:
        model: constants are folded into its biases, in place; it is not cut.
        batch: see :func:`dead`.
    """
    sites = _sites(model)
    fixed = _constants(model, sites, batch)
    plan = _plan(model, sites, fixed)
    _fold(model, sites, plan, fixed)
    return plan


def _sites(model: nn.Module) -> Anatomy:
    found = anatomy(model)
    return found.of(*{site.kind for site in found.values()}.intersection(KINDS))


def _constants(
    model: nn.Module, sites: Anatomy, batch: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """{reader: [inputs]}; queries are read where their heads are."""
    whole = {name: site for name, site in sites.items() if site.kind != "queries"}
    return {} if batch is None else constants(model, whole, batch)


def _plan(model: nn.Module, sites: Anatomy, fixed: Mapping[str, Tensor]) -> Plan:
    stays = {}
    for name, site in sites.items():
        unread = _unread(model, site, fixed.get(site.reader))
        stays[name] = ~unread.reshape(site.units, -1).all(1)
        if site.kind == "queries":
            stays[name] = _even(stays[name].reshape(-1, site.even)).flatten()
    return Plan(stays)


def _unread(model: nn.Module, site: Site, fixed: Tensor | None) -> Tensor:
    """[inputs] of a reader: True where its weights are zero, or a constant can take their place."""
    reader: Any = model.get_submodule(site.reader)
    unread = ~reader.weight.detach().bool().any(1 - site.inlet.axis)
    if fixed is None:
        return unread
    return unread | (fixed == 0 if reader.bias is None else ~fixed.isnan())


def _even(stays: Tensor) -> Tensor:
    """[groups, queries] with as many dead ones in every group as the one with fewest has.

    A group that is dead as a whole leaves with its head, and counts for nothing.
    """
    live = stays[stays.any(1)]
    spare = int((~live).sum(1).min()) if len(live) else 0
    return stays | ((~stays).cumsum(1) > spare)


def _fold(model: nn.Module, sites: Anatomy, plan: Plan, fixed: Mapping[str, Tensor]) -> None:
    """Give the readers' biases what dead units gave, in float64."""
    found = keeps(sites, plan, sites)
    for name, part in {site.reader: site.inlet for site in sites.values()}.items():
        reader: Any = model.get_submodule(name)
        if name in fixed and reader.bias is not None:
            gone = ~found[part.tensor][part.axis].to(fixed[name].device)
            weight = reader.weight.detach().movedim(part.axis, 0)[gone].double()
            with torch.no_grad():
                reader.bias.add_(fixed[name][gone].nan_to_num() @ weight)
