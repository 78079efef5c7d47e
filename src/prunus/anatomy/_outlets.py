"""The modules that put a site's units out: linear layers and convolutions, no norms."""

from dataclasses import replace

from torch import nn

from prunus.anatomy._trace.columns import column, passes_on
from prunus.site import Site


def with_outlets(model: nn.Module, site: Site) -> Site:
    """The same site with its outlets: the slices on the outputs of weights."""
    found = {}
    for part in site.weights if site.removable else ():
        name, _, leaf = part.tensor.rpartition(".")
        module = model.get_submodule(name)
        if leaf == "weight" and column(module) == 1 - part.axis and not passes_on(module):
            found[name] = part
    return replace(site, outlets=found)
