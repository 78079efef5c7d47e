"""Adapters ride on the sites of the weights that they change."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import nn

from prunus.site import Site, Slice

Rides = Mapping[tuple[str, int], list[tuple[str, int]]]


def riding(sites: Iterable[Site], model: nn.Module) -> dict[str, Site]:
    """The sites with slices on adapters' factors, wherever they have one on the weight's axis.

    Factors have the length of their weight's axis, so a slice's tile and start are theirs too. The
    blocks of a grid lie on two axes at once, which no factor does: grids do not ride.

    Args:
        sites: of the model.
        model: some of its layers have a child ``adapter``, whose ``rides`` say which axis of which
            tensor follows which axis of the weight.

    Returns:
        {name: site}, in the same order.
    """
    rides = _rides(model)
    return {site.name: _ridden(site, rides) if site.removable else site for site in sites}


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """Let adapters add nothing, so that layers are what they are without them."""
    found: list[Any] = [own for own in model.modules() if hasattr(_adapter(own), "rides")]
    try:
        for layer in found:
            layer.fused = True
        yield
    finally:
        for layer in found:
            layer.fused = False


def _adapter(module: nn.Module) -> Any:
    return getattr(module, "adapter", None)


def _rides(model: nn.Module) -> Rides:
    """{(weight, axis): [(factor, axis)]}."""
    found = defaultdict[tuple[str, int], list[tuple[str, int]]](list)
    for name, module in model.named_modules():
        for factor, axis, follows in getattr(_adapter(module), "rides", ()):
            weight = f"{name}.{getattr(module, 'holds', 'weight')}"
            found[weight, follows].append((f"{name}.adapter.{factor}", axis))
    return found


def _ridden(site: Site, rides: Rides) -> Site:
    if not rides:
        return site
    factors = {factor for found in rides.values() for factor, _ in found}
    whole = site.kind == "layers"  # goes with all that is in it, ranks too
    own = [part for part in site.slices if whole or part.tensor not in factors]
    return replace(site, slices=_with_factors(own, rides))


def _with_factors(slices: Sequence[Slice], rides: Rides) -> tuple[Slice, ...]:
    """Slices, and those of the factors that follow them."""
    more = [
        Slice(factor, (axis,), part.tile, part.start)
        for part in slices
        for factor, axis in rides.get((part.tensor, part.axis), ())
    ]
    return tuple(dict.fromkeys([*slices, *more]))
