"""Where a sweep or a repair stops on its way through a model."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from prunus.curve import Curve
from prunus.edit._answer import answer
from prunus.edit._frozen import frozen
from prunus.errors import PrunusError
from prunus.probe.loss import Batch
from prunus.probe.work import single
from prunus.recover import Repair
from prunus.site import Site


def readers(
    model: Any, sites: Mapping[str, Site], repairs: Sequence[Repair], batches: Iterable[Batch]
) -> list[Site]:
    """One site for every reader, in forward order.

    Args:
        model: the dense model.
        sites: what may go; of grids in weights each has a reader of its own.
        repairs: what shall be mended there.
        batches: their first sample tells in which order a model calls its linear layers.

    Raises:
        PrunusError: a site that no single module reads, that the repairs do not mend, or that a
            forward pass does not reach.
    """
    _require_mended(sites, repairs)
    found: dict[str, Site] = {}
    for site in sites.values():
        found.setdefault(site.reader, site)
    if not any(site.in_linear for site in sites.values()):
        return list(found.values())
    order = called(model, single(next(iter(batches))), list(found))
    for reader, site in found.items():
        if reader not in order:
            raise PrunusError(
                f"site {site.name!r}: no forward pass reaches {reader}; leave it out of the sites"
            )
    return [found[reader] for reader in order]


def _require_mended(sites: Mapping[str, Site], repairs: Sequence[Repair]) -> None:
    for site in sites.values():
        if not ((site.has_inlet and site.residual) or site.in_linear):
            raise PrunusError(
                f"site {site.name!r} of kind {site.kind!r} has no single reader on a"
                " residual stream to mend or sweep by; use drive: oneshot with recover: []"
            )
        if repairs and not any(_mends(repair, site) for repair in repairs):
            raise PrunusError(_unmended(site, repairs[0]))
    for repair in repairs:
        if not any(_mends(repair, site) for site in sites.values()):
            raise PrunusError(_unmended(next(iter(sites.values())), repair))


def require_together(repairs: Iterable[Repair]) -> None:
    """Check that repairs go through a model from the bottom up.

    Raises:
        PrunusError: one mends sublayers apart from each other.
    """
    for repair in repairs:
        if repair.at == "module":
            raise PrunusError(
                f"recover: {_named(repair)} tunes every sublayer apart from the others, on the"
                " dense model's inputs; use drive: library"
            )


def require_apart(repairs: Iterable[Repair]) -> None:
    """Check that repairs mend sublayers on what they read in the dense model.

    Raises:
        PrunusError: one mends what a sublayer reads.
    """
    for repair in repairs:
        if repair.at == "entry":
            raise PrunusError(
                f"recover: {_named(repair)} mends what a sublayer reads, and in drive: library"
                " every one reads what it does in the dense model; leave it out"
            )


def _mends(repair: Repair, site: Site) -> bool:
    return repair.at == "module" or (repair.at == "weights") == site.in_linear


def _named(repair: Repair) -> str:
    return type(repair).__module__.rpartition(".")[2]


def _unmended(site: Site, repair: Repair) -> str:
    name = _named(repair)
    if site.in_linear:
        return (
            f"site {site.name!r}: recover: {name} mends the readers of units that can be removed;"
            " for grids in weights use recover: sparsegpt, or recover: []"
        )
    return (
        f"site {site.name!r} of kind {site.kind!r}: recover: {name} mends linear layers whose"
        " single weights go; name grids alone in sites, {grid: 1x1} or {grid: 2:4}"
    )


def called(model: nn.Module, batch: Batch, modules: Iterable[str]) -> list[str]:
    """Modules in the order in which a forward pass first calls them; others are left out."""
    order: dict[str, None] = {}
    hooks = [
        model.get_submodule(name).register_forward_pre_hook(partial(_note, order, name))
        for name in modules
    ]
    try:
        with torch.no_grad(), frozen(model):
            answer(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return list(order)


def _note(order: dict[str, None], name: str, *_: object) -> None:
    order[name] = None


def widened(stays: Tensor, found: Tensor | Curve, more: int) -> Tensor:
    """[units] bool: what stays, and so many of the best others.

    Args:
        stays: [units] bool.
        found: what the criterion made of the units.
        more: how many.
    """
    best = found.order.flip(0) if isinstance(found, Curve) else found.argsort(descending=True)
    others = best[~stays[best.cpu()]]
    mask = stays.clone()
    mask[others[:more]] = True
    return mask
