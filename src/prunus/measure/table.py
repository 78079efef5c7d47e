"""What every width of every sublayer costs in time, on this machine and in this runtime.

The time of a model is taken as that of the model without heads and neurons, plus a curve for each
of its sublayers. Curves are measured on single layers. Both ends are measured on whole models: all
curves are scaled by one factor, so that the dense model costs what it was measured to cost.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy.optimize import isotonic_regression
from torch import Tensor

from prunus.anatomy import Anatomy, anatomy
from prunus.measure import _cached
from prunus.measure._clock import evaluating
from prunus.measure._sublayers import GRAIN, Step, calls, given, layers, rounds, whole, widths
from prunus.measure.hardware import hardware, versions
from prunus.measure.target import inputs
from prunus.probe._device import device_of, threads
from prunus.registry import Part
from prunus.select._budget import At
from prunus.select._latency import Latency
from prunus.site import Site

RUNTIME = "torch-eager"
NOISY = 0.1
KIND = "latency"


class Curve(Part):
    """One sublayer: milliseconds beyond those of its layer without units.

    Attributes:
        units: at how many units it was timed, 0 first and all of them last.
        ms: of each of these.
        grain: units between two of its multiples cost as much as at the upper one.
    """

    units: tuple[int, ...]
    ms: tuple[float, ...]
    grain: int

    def nanoseconds(self, scale: float) -> tuple[int, ...]:
        """[units + 1]: the curve times ``scale``, straight between the times but for its grain."""
        most = self.units[-1]
        upper = np.minimum(-(-np.arange(most + 1) // self.grain) * self.grain, most)
        found = np.interp(upper, self.units, self.ms) * scale * 1e6
        return tuple(np.rint(found).astype(np.int64).tolist())


class Table(Part):
    """What was measured, in milliseconds of one call.

    Attributes:
        facts: of which machine, versions, model and call.
        dense: the whole model.
        bare: the whole model without heads and neurons.
        layers: {module's name: a single layer without heads and neurons}.
        curves: those of layers that compute alike are one.
        sites: {site: the number of its curve}.
        noise: how far the quartiles of ``dense`` lie apart, relative to it.
    """

    facts: dict[str, Any]
    dense: float
    bare: float
    layers: dict[str, float]
    curves: tuple[Curve, ...]
    sites: dict[str, int]
    noise: float

    @property
    def noisy(self) -> bool:
        """Whether the machine was too busy to trust the table."""
        return self.noise > NOISY

    @property
    def path(self) -> Path:
        """The file in which the table is kept."""
        return _cached.place(self.facts, KIND)

    @cached_property
    def scale(self) -> float:
        """What the curves are multiplied by: (dense - bare) / sum of all sublayers."""
        total = sum(self.curves[index].ms[-1] for index in self.sites.values())
        return max(self.dense - self.bare, 0.0) / total if total else 0.0

    def cost(self, every: Anatomy, chosen: Anatomy) -> Latency:
        """The cost function of plans for the ``chosen`` of ``every`` site of the model.

        Raises:
            PrunusError: a site is of a kind that the table does not know.
        """
        alone = sum(self.layers.values())
        share = min(1.0, self.bare / alone) if alone else 0.0
        empty = {path: round(time * share * 1e6) for path, time in self.layers.items()}
        curves = [curve.nanoseconds(self.scale) for curve in self.curves]
        of_sites = {name: curves[index] for name, index in self.sites.items()}
        constant = max(0, round(self.bare * 1e6) - sum(empty.values()))
        return Latency.of(constant, empty, of_sites, every, chosen)


def table(model: Any, batch: Mapping[str, Tensor], at: At, step: Step = lambda *_: None) -> Table:
    """The table of a model: the one that was kept for it on this machine, or a new one.

    Args:
        model: a transformers model of a known family; it is left as it is.
        batch: keyword arguments of a forward pass, whose first sample is repeated.
        at: the call that is meant.
        step: told of progress between the rounds: (done, of).

    Raises:
        PrunusError: the model has no positions for so many tokens, or the table cannot be kept.
    """
    fed = inputs(model, batch, at)
    facts = facts_of(model, fed, at)
    found = _recalled(facts)
    if found is None:
        found = _measure(model, fed, at, facts, step)
        _cached.keep(facts, KIND, found.model_dump(mode="json", exclude={"facts"}))
    return found


def _recalled(facts: dict[str, Any]) -> Table | None:
    held = _cached.recall(facts, KIND)
    try:
        return Table.model_validate({**held, "facts": facts}) if isinstance(held, dict) else None
    except ValidationError:  # as another prunus wrote it
        return None


def _measure(
    model: Any, fed: Mapping[str, Tensor], at: At, facts: dict[str, Any], step: Step
) -> Table:
    sites = anatomy(model)
    every = list(layers(model, sites))
    like = {layer.shape: layer for layer in reversed(every)}
    with threads(at.threads), evaluating(model):
        args = given(model, [layer.path for layer in like.values()], fed)
        timed = {
            layer.path: calls(model, sites, layer, args[layer.path]) for layer in like.values()
        }
        ends = whole(model, sites, fed)
        times = rounds([*ends, *(c for own in timed.values() for c in own.values())], step)
    low, dense, high = times[:, 0].quantile(times.new_tensor([0.25, 0.5, 0.75])).tolist()
    medians = iter(times.quantile(0.5, dim=0).tolist())
    bare = [next(medians) for _ in ends][1]
    ms = {path: {key: next(medians) for key in own} for path, own in timed.items()}
    curves = {
        site.name: _curve(ms[layer.path], site) for layer in like.values() for site in layer.sites
    }
    names = list(curves)
    return Table(
        facts=facts,
        dense=dense,
        bare=bare,
        layers={layer.path: ms[like[layer.shape].path]["", 0] for layer in every},
        curves=tuple(curves.values()),
        sites={
            site.name: names.index(first.name)
            for layer in every
            for site, first in zip(layer.sites, like[layer.shape].sites, strict=True)
        },
        noise=(high - low) / dense,
    )


def _curve(ms: Mapping[tuple[str, int], float], site: Site) -> Curve:
    """The times of one site, made to rise (least squares), less what no units cost."""
    units = widths(site)
    found = isotonic_regression([ms["", 0], *(ms[site.name, width] for width in units)]).x
    curve = tuple((found - found[0]).tolist())
    return Curve(units=(0, *units), ms=curve, grain=GRAIN[site.kind])


def facts_of(model: Any, fed: Mapping[str, Tensor], at: At) -> dict[str, Any]:
    """Everything that decides the times, as JSON holds it."""
    machine = {key: value for key, value in hardware().items() if key != "threads"}
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    told = f"{model} {shapes} {getattr(model.config, 'use_cache', None)}"
    return {
        "runtime": RUNTIME,
        "hardware": machine,
        "versions": {name: versions()[name] for name in ("torch", "transformers")},
        "device": str(device_of(model)),
        "model": type(model).__name__,
        "structure": hashlib.sha256(told.encode()).hexdigest(),
        "dtype": str(model.dtype),
        "attention": getattr(model.config, "_attn_implementation", None),
        "inputs": {name: list(tensor.shape) for name, tensor in fed.items()},
        "at": at.model_dump(),
    }
