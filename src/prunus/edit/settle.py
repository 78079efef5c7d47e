"""Masks that stay: what a mask multiplies in a forward pass, multiplied into the weights."""

from collections.abc import Mapping

from torch import Tensor, nn

from prunus.site import Site, Slice, factor


def settle(model: nn.Module, sites: Mapping[str, Site], values: Mapping[str, Tensor]) -> None:
    """Multiply units' weights by values, in place: what :func:`prunus.edit.mask` does in a pass.

    Units of value 0 lose all their weights, so that nothing is left of those that may go; but whole
    layers are left for a plan to take out.

    Args:
        model: layers on the slices have no adapter, or one whose factors are on the slices too.
        sites: an anatomy, or any mapping of sites by name.
        values: {site: [*grid]}, bool or float.
    """
    for name, value in values.items():
        site, stays = sites[name], value != 0
        read = _read(site)
        for part in site.slices if read else ():
            own = value if part in read else stays
            if not (own == 1).all():
                _multiply(model, part, own)


def scale(model: nn.Module, site: Site, values: Tensor) -> None:
    """Multiply all that is on a site's slices by its units' values [*grid], bool or float."""
    for part in site.slices:
        _multiply(model, part, values)


def _read(site: Site) -> list[Slice]:
    """The slices at which a site's values count once: its weights, or the inputs that read it."""
    if site.in_weights:
        return list(site.slices)
    if site.inlets or not site.has_inlet:
        return list(site.inlets)
    return [part for part in site.slices if part.tensor.startswith(f"{site.reader}.")]


def _multiply(model: nn.Module, part: Slice, values: Tensor) -> None:
    path, _, leaf = part.tensor.rpartition(".")
    tensor = getattr(model.get_submodule(path), leaf).detach()
    view, factors = factor(part, values.to(tensor), tuple(tensor.shape))
    tensor.view(view).mul_(factors)
