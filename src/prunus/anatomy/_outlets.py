"""The modules that put a site's units out: linear layers and convolutions, no norms."""

from dataclasses import replace

from torch import nn

from prunus.anatomy._trace.columns import columns, passes_on
from prunus.site import Site


def with_outlets(model: nn.Module, site: Site) -> Site:
    """The same site with its outlets: the slices on the outputs of weights."""
    inputs = columns(model)
    outputs = {
        part.tensor.removesuffix(".weight"): part
        for part in site.weights
        if site.removable and inputs.get(part.tensor) == 1 - part.axis
    }
    found = {n: part for n, part in outputs.items() if not passes_on(model.get_submodule(n))}
    return replace(site, outlets=found)
