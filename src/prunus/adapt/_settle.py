"""Masks of blocks settled in the weights and adapters that they lay on."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prunus.adapt._attach import adapted
from prunus.adapt._layer import Adapted
from prunus.errors import unknown
from prunus.site import Site, Slice, expand


def settle(model: nn.Module, sites: Mapping[str, Site], values: Mapping[str, Tensor]) -> set[str]:
    """Multiply weights and what is added to them by values, in place, wherever that is exact.

    That is where an adapter is made of blocks, and each of them has one value: the site's blocks
    are the adapter's, or are made of them, or agree within them. Positions of blocks with the
    value 0 are left out then, so that optimizers made before do not know them any more.

    Args:
        model: some of its layers have adapters.
        sites: an anatomy, or any mapping of sites by name.
        values: {site: [*grid]}, bool or float.

    Returns:
        The names of the grids that are settled; what else has values is left as it is.

    Raises:
        PrunusError: values for a site that does not exist.
    """
    layers = {f"{name}.{layer.holds}": layer for name, layer in adapted(model).items()}
    done = set[str]()
    for name, value in values.items():
        if name not in sites:
            raise unknown("site", name, sites)
        part = sites[name].slices[0]
        layer = None if sites[name].removable else layers.get(part.tensor)
        if layer is not None and _settled(layer, part, value):
            done.add(name)
    return done


def _settled(layer: Adapted, part: Slice, value: Tensor) -> bool:
    weight: Any = layer.get_parameter(layer.holds)
    spread = expand(part, value.detach().to(weight), weight.shape)
    if not layer.adapter.scale(layer.centre(spread)):
        return False
    with torch.no_grad():
        weight.mul_(spread)
    return True
