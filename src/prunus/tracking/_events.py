"""What pruning has to tell."""

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from prunus.curve import Curve
from prunus.site import Site

Values = Mapping[str, float | Tensor]
"""Numbers by name; a tensor is told as the distribution of its values."""


def chosen(masks: Mapping[str, Tensor], sites: Mapping[str, Site]) -> dict[str, float]:
    """Of what stays: the density of each kind of site, and the units of each site.

    Args:
        masks: {site: [*grid] bool}; sites that are left out are whole.
        sites: all of them.
    """
    kept = {n: int(masks[n].sum()) if n in masks else site.units for n, site in sites.items()}
    found: dict[str, float] = {f"kept/{name}": units for name, units in kept.items()}
    for kind in dict.fromkeys(site.kind for site in sites.values()):
        own = [name for name, site in sites.items() if site.kind == kind]
        whole = sum(sites[name].units for name in own)
        found[f"density/{kind}"] = sum(kept[name] for name in own) / whole
    return found


def scored(found: Mapping[str, Tensor | Curve], sites: Mapping[str, Site]) -> dict[str, Tensor]:
    """The scores of each kind of site, together."""
    kinds: dict[str, list[Tensor]] = defaultdict(list)
    for name, own in found.items():
        scores = own.scores if isinstance(own, Curve) else own
        kinds[sites[name].kind].append(scores.detach().flatten().float().cpu())
    return {f"scores/{kind}": torch.cat(own) for kind, own in kinds.items()}
