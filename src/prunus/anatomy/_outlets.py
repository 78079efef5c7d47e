"""The modules that put a site's units out: linear layers and convolutions, no norms."""

from dataclasses import replace

from torch import nn
from transformers.pytorch_utils import Conv1D

from prunus.site import Site, Slice


def with_outlets(model: nn.Module, site: Site) -> Site:
    """The same site with its outlets: the slices on the outputs of weights."""
    modules = dict(model.named_modules())
    found: dict[str, Slice] = {}
    for part in site.weights:
        path = part.tensor.removesuffix(".weight")
        if site.removable and part.axis == _outputs(modules[path]):
            found[path] = part
    return replace(site, outlets=found)


def _outputs(module: nn.Module) -> int | None:
    """The axis of a weight that its outputs lie on; not of norms and depthwise ones."""
    if isinstance(module, Conv1D | nn.modules.conv._ConvTransposeNd):
        return 1
    if isinstance(module, nn.modules.conv._ConvNd):
        depthwise = module.groups > 1 and module.weight.shape[1] == 1
        return None if depthwise else 0
    return 0 if isinstance(module, nn.Linear) else None
