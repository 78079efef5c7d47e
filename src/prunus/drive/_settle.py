"""The end of masks in the forward pass: they are multiplied into weights and adapters."""

from collections.abc import Mapping

from torch import Tensor, nn

from prunus import adapt, edit
from prunus.site import Site


def settle(model: nn.Module, sites: Mapping[str, Site], values: Mapping[str, Tensor]) -> None:
    """Multiply masks into a model, in place; see :func:`prunus.adapt.settle` for adapters.

    Adapters are all merged before where one would fill masked weights: it is not made of blocks
    that the mask takes as a whole, nor are its factors on the slices of what is masked.

    Args:
        model: its gates are closed.
        sites: with masks.
        values: {site: [*grid]}, bool or float.
    """
    done = adapt.settle(model, sites, values)
    left = {name: own for name, own in values.items() if name not in done}
    if any(_filled(model, sites[name]) for name, own in left.items() if not own.all()):
        adapt.merge(model)
    edit.settle(model, sites, left)


def _filled(model: nn.Module, site: Site) -> bool:
    on = {part.tensor for part in site.slices}
    return any(
        f"{name}.{layer.holds}" in on and not any(own.startswith(f"{name}.adapter.") for own in on)
        for name, layer in adapt.adapted(model).items()
    )
