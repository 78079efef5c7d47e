"""Layers cut to every width, each called with what its model would give it, timed in turns."""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from prunus.anatomy import Anatomy, family_of
from prunus.anatomy._stack import base_of, has
from prunus.edit.shrink import cut
from prunus.measure._clock import Call, clock_of
from prunus.plan import Plan
from prunus.probe._device import device_of
from prunus.select._latency import COUNTED
from prunus.site import Site

STEPS = 16
"""Neurons are timed at so many about equal steps; heads at every number."""
GRAIN = {"heads": 1, "neurons": 8}
"""Kernels compute so many at a time: what lies between two multiples is taken to cost the upper."""
LEAST, MOST, SECONDS = 5, 60, 25.0
"""Rounds: as many as fit into the seconds, but not fewer and not more than these."""

Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Layer:
    """One layer of a stack: its module's name, its sites, and what tells it from other layers."""

    path: str
    sites: tuple[Site, ...]
    shape: str


def layers(model: nn.Module, sites: Anatomy) -> Iterator[Layer]:
    """Every layer of every stack, in forward order; layers of equal ``shape`` compute alike."""
    base, tensors = base_of(model), sites.tensors
    stacks = (base + data.layers for data in family_of(model).stacks)
    for stack in (stack for stack in stacks if has(model, stack)):
        for index in range(len(list(model.get_submodule(stack).children()))):
            path = f"{stack}.{index}"
            own = [
                s for s in sites.values() if s.kind in COUNTED and s.reader.startswith(f"{path}.")
            ]
            inner = {n.removeprefix(path): tensors.shapes[n] for n in tensors.under(path)}
            yield Layer(path, tuple(own), f"{stack} {model.get_submodule(path)} {inner}")


def widths(site: Site) -> list[int]:
    """At how many units of a site a layer is timed, up to all of them."""
    grain = GRAIN[site.kind]
    points = site.units if grain == 1 else STEPS
    steps = (round(site.units * step / points / grain) * grain for step in range(points))
    return sorted({min(max(grain, step), site.units) for step in steps} | {site.units})


def whole(model: Any, sites: Anatomy, inputs: Mapping[str, Tensor]) -> list[Call]:
    """Calls of the model as it is, and of the model without heads and neurons."""
    bare = _cut(model, sites, {n: 0 for n, site in sites.items() if site.kind in COUNTED})
    return [_called(one, (), dict(inputs)) for one in (model, bare)]


def calls(
    model: Any, sites: Anatomy, layer: Layer, given: tuple[tuple[Any, ...], dict[str, Any]]
) -> dict[tuple[str, int], Call]:
    """Calls of a layer without units ("", 0), and with so many of one site and no others."""
    none = {site.name: 0 for site in layer.sites}
    kept = {(s.name, width): {**none, s.name: width} for s in layer.sites for width in widths(s)}
    return {
        key: _called(_cut(model, sites, units).get_submodule(layer.path), *given)
        for key, units in {("", 0): none, **kept}.items()
    }


def given(
    model: nn.Module, paths: list[str], inputs: Mapping[str, Tensor]
) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """{module's name: the arguments} that modules get in one forward pass, without caches."""
    found: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def hook(path: str) -> Callable[..., None]:
        def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found[path] = tuple(map(_uncached, args)), {k: _uncached(v) for k, v in kwargs.items()}

        return look

    hooks = [
        model.get_submodule(path).register_forward_pre_hook(hook(path), with_kwargs=True)
        for path in paths
    ]
    try:
        with torch.inference_mode():
            model(**inputs)
    finally:
        for handle in hooks:
            handle.remove()
    return found


def rounds(timed: list[Call], step: Step) -> Tensor:
    """[rounds, calls] milliseconds; each round times every call once, every second one backwards.

    On an accelerator by the clock on the wall, else by that of computing.
    """
    which = ("cpu", "wall").index(clock_of(timed[0].device))
    found: list[list[float]] = []
    start, spent = time.perf_counter(), 0.0
    while len(found) < LEAST or (len(found) < MOST and spent < SECONDS):
        step(min(int(spent), int(SECONDS) - 1), int(SECONDS))
        back = 1 if len(found) % 2 == 0 else -1
        found.append([call.time()[which] for call in timed[::back]][::back])
        spent = time.perf_counter() - start
    step(int(SECONDS), int(SECONDS))
    return torch.tensor(found, dtype=torch.float64)


def narrowed(model: Any, sites: Anatomy, plan: Plan) -> Any:
    """The model as a plan cuts it; all other tensors are shared."""
    shared = {id(t): t for t in (*model.parameters(), *model.buffers())}
    small = copy.deepcopy(model, shared)
    cut(small, plan, sites)
    return small


def _cut(model: Any, sites: Anatomy, kept: Mapping[str, int]) -> Any:
    """The model with the first ``kept`` units of some sites."""
    masks = {name: torch.arange(sites[name].units) < units for name, units in kept.items()}
    return narrowed(model, sites, Plan(masks))


def _called(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    return Call(lambda: module(*args, **kwargs), args[0].device if args else device_of(module))


def _uncached(value: Any) -> Any:
    """A cache would grow with every call."""
    return None if isinstance(value, Cache) else value
