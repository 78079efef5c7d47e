"""The loss measured without each unit: one forward pass a unit."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from prunus.edit import mask
from prunus.errors import PrunusError
from prunus.probe._evidence import ABLATION, Evidence
from prunus.probe.loss import Batch, Loss
from prunus.site import Site

MOST = 256
"""Units for which a forward pass each is affordable."""


def require_few(sites: Mapping[str, Site]) -> None:
    """Check that there are few enough units.

    Raises:
        PrunusError: there are more; the cost is told.
    """
    units = sum(site.units for site in sites.values())
    if units > MOST:
        kinds = ", ".join(sorted({site.kind for site in sites.values()}))
        raise PrunusError(
            f"ablation takes a forward pass over all data for every unit, and these sites ({kinds})"
            f" have {units:,}; at most {MOST} are measured: name sublayers, layers or heads, or use"
            " a criterion that scores all units in one pass"
        )


def ablate(model: nn.Module, batch: Batch, found: Mapping[str, Evidence], loss: Loss) -> None:
    """Add, for every unit, by how much the loss of a batch rises without it."""
    sites = {name: evidence.site for name, evidence in found.items()}
    with torch.no_grad():
        whole = loss(model, batch)
        for name, evidence in found.items():
            rises = []
            for values in _each_without(evidence.site):
                with mask(model, sites, {name: values}):
                    rises.append(loss(model, batch) - whole)
            evidence.add(ABLATION, torch.stack(rises).reshape(evidence.site.shape))


def _each_without(site: Site) -> Iterator[Tensor]:
    """[*grid] for every unit: 0 there, 1 elsewhere."""
    for unit in range(site.units):
        values = torch.ones(site.units)
        values[unit] = 0
        yield values.reshape(site.shape)
