"""The end of masks in the forward pass: they are multiplied into weights and adapters."""

from collections.abc import Mapping

from torch import Tensor, nn

from prunus import edit
from prunus.adapt import adapted, merge
from prunus.site import Site


def settle(model: nn.Module, sites: Mapping[str, Site], values: Mapping[str, Tensor]) -> None:
    """Multiply masks into a model, in place.

    Adapters are all merged before, where one would fill masked weights: its factors are not on the
    slices of a masked site.

    Args:
        model: its gates are closed.
        sites: with masks.
        values: {site: [*grid]}, bool or float.
    """
    if any(_filled(model, sites[name]) for name, own in values.items() if not own.all()):
        merge(model)
    edit.settle(model, sites, values)


def _filled(model: nn.Module, site: Site) -> bool:
    layers = adapted(model)
    on = {part.tensor for part in site.slices}
    return any(
        f"{name}.{layer.holds}" in on and not any(f"{name}.adapter." in own for own in on)
        for name, layer in layers.items()
    )
