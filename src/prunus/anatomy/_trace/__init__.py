"""The channels of any torch module, found by watching one forward pass."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from torch import nn

from prunus.anatomy._riding import without_adapters
from prunus.anatomy._stack import base_of
from prunus.anatomy._trace.columns import passes_on
from prunus.anatomy._trace.labels import FIXED, Factor
from prunus.anatomy._trace.rules import rule_of
from prunus.anatomy._trace.tracer import Tracer, frozen_pass
from prunus.site import Site, Slice

Place = tuple[str, int]
COUNT = -1
"""In the place of an axis: an attribute that counts."""


@dataclass(frozen=True)
class Run:
    """Neighbouring entries of one unit at one place.

    Attributes:
        place: (tensor or attribute, axis).
        start: of the unit that a site begins with.
        size: entries of every unit.
    """

    place: Place
    start: int
    size: int


def traced(model: nn.Module, example: Mapping[str, Any]) -> tuple[list[Site], dict[str, str]]:
    """The sites of kind channels of any module.

    One forward pass is watched, operation by operation: entries of weights whose channels meet (in
    a sum, at a norm, between a layer and the next) can only leave together and make one unit.

    Args:
        model: on any device, also on meta.
        example: keyword arguments of one forward pass, on the same device.

    Returns:
        The sites in the order of the forward pass; {module: why its outputs cannot leave}.

    Raises:
        PrunusError: channels go through an operation that cannot be followed; it is named.
    """
    tracer = Tracer(model, rule_of)
    with without_adapters(model), tracer.watching():
        out = frozen_pass(model, example)
    tracer.end(out)
    classes = tracer.labels.classes()
    places = {**tracer.places, **{(path, COUNT): own for path, own in tracer.counts.items()}}
    reader = _Reader(model, tracer, classes)
    sites = list(reader.sites({place: classes[own] for place, own in places.items()}))
    return sites, reader.fixed()


class _Reader:
    """Reads sites off what was traced."""

    def __init__(self, model: nn.Module, tracer: Tracer, classes: Factor) -> None:
        self.model, self.tracer, self.classes = model, tracer, classes
        self.base, self.folds, self.taken = base_of(model), tracer.folds, set[str]()
        self.norms = [(name, set(classes[own].flat)) for name, own in tracer.norms]

    def sites(self, places: Mapping[Place, Factor]) -> Iterator[Site]:
        for found in _found(places):
            site = self._site(found, {norm for norm, own in self.norms if own & found.classes})
            if site.inlets:
                yield site

    def fixed(self) -> dict[str, str]:
        """{module: why none of its outputs can leave}."""
        why = self.tracer.labels.reasons(self.classes)
        outputs = {
            tensor: own
            for (tensor, axis), own in self.tracer.places.items()
            if self.tracer.columns.get(tensor) == 1 - axis
        }
        found = {name.removesuffix(".weight"): why(own) for name, own in outputs.items()}
        return {name: reason for name, reason in found.items() if reason}

    def _site(self, found: "_Units", norms: set[str]) -> Site:
        slices = tuple(
            Slice(name, (axis,), (run.size,), run.start)
            for run in found.runs
            for name, axis in [run.place]
            if axis != COUNT
        )
        inlets = tuple(part for part in slices if self._reads(part))
        outlets = {
            part.tensor.removesuffix(".weight"): part for part in slices if self._makes(part)
        }
        return Site(
            self._name(slices[0].tensor.rpartition(".")[0].removeprefix(self.base)),
            "channels",
            (found.units,),
            slices,
            self._reader(inlets, found.units),
            counts=tuple((run.place[0], run.size) for run in found.runs if run.place[1] == COUNT),
            norms=tuple(sorted(norms)),
            inlets=inlets,
            outlets=outlets,
            folds=tuple((m, self.folds[m]) for m in outlets if m in self.folds),
        )

    def _reads(self, part: Slice) -> bool:
        """Whether a slice is of the inputs of a layer that sums over them."""
        return self.tracer.columns.get(part.tensor) == part.axis and not self._passes(part)

    def _makes(self, part: Slice) -> bool:
        """Whether a slice is of the outputs of a layer that makes the units."""
        return self.tracer.columns.get(part.tensor) == 1 - part.axis and not self._passes(part)

    def _passes(self, part: Slice) -> bool:
        return passes_on(self.model.get_submodule(part.tensor.rpartition(".")[0]))

    def _reader(self, inlets: tuple[Slice, ...], units: int) -> str:
        """The one linear layer that reads the units, and nothing else; "" where there is none."""
        name = inlets[0].tensor.removesuffix(".weight") if len(inlets) == 1 else ""
        module = self.model.get_submodule(name)
        wide = units * inlets[0].tile[0] if name else 0
        return name if isinstance(module, nn.Linear) and module.in_features == wide else ""

    def _name(self, module: str) -> str:
        name, number = f"{module}:channels", 1
        while name in self.taken:
            number += 1
            name = f"{module}:channels.{number}"
        self.taken.add(name)
        return name


@dataclass
class _Units:
    """Units that lie side by side, in the same way at all of their places.

    Attributes:
        runs: where the first one lies.
        classes: theirs.
    """

    runs: tuple[Run, ...]
    classes: set[int]

    @property
    def units(self) -> int:
        return len(self.classes)

    def takes(self, runs: tuple[Run, ...]) -> bool:
        """Whether a unit with these runs comes next."""
        return len(runs) == len(self.runs) and all(
            (one.place, one.size, one.start)
            == (own.place, own.size, own.start + own.size * self.units)
            for own, one in zip(self.runs, runs, strict=True)
        )


def _found(places: Mapping[Place, Factor]) -> Iterator[_Units]:
    """Classes of labels as units, those that lie side by side together."""
    runs: dict[int, list[Run]] = defaultdict(list)
    for place, classes in places.items():
        for number, run in _runs(place, classes):
            runs[number].append(run)
    open_: list[_Units] = []
    for number, own in runs.items():
        told = tuple(own)
        if all(run.place[1] == COUNT for run in told):
            continue  # zeros that nothing reads
        home = next((units for units in open_ if units.takes(told)), None)
        if home is None:
            open_.append(_Units(told, {number}))
        else:
            home.classes.add(number)
    return iter(open_)


def _runs(place: Place, classes: Factor) -> Iterator[tuple[int, Run]]:
    """(class, run of its entries) along one axis, without those that always stay."""
    cuts = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(classes)]
    for start, end in pairwise(cuts):
        if classes[start] != FIXED:
            yield int(classes[start]), Run(place, start, end - start)
