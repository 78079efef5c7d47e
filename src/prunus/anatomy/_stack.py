"""Builds the sites of a model from its family's data: shared by every family."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from torch import nn

from prunus.anatomy._family import Attention, Channels, Family, FeedForward, Stack
from prunus.anatomy._tensors import Tensors
from prunus.anatomy._vocabulary import vocabulary
from prunus.site import Site, Slice


def base_of(model: nn.Module) -> str:
    """The prefix of the base model's names: ``bert.``, or "" where the model is the base."""
    prefix = getattr(model, "base_model_prefix", "")
    return f"{prefix}." if prefix and hasattr(model, prefix) else ""


def sites_of(model: nn.Module, family: Family, tensors: Tensors) -> dict[str, Site]:
    """Every site of a model, in the order of its forward pass."""
    base = base_of(model)
    sites: list[Site] = []
    for stack in family.stacks:
        if has(model, base + stack.layers):
            sites += _Reader(model, tensors, base, stack).sites()
    for data in family.streams:
        sites += _channels(model, data, tensors, base)
    sites += vocabulary(model, tensors)
    return {site.name: site for site in sites}


def has(model: nn.Module, path: str) -> bool:
    """Whether a model has a module of that name."""
    try:
        model.get_submodule(path)
    except AttributeError:
        return False
    return True


class _Reader:
    """Reads the sites of one stack off the model's tensors."""

    def __init__(self, model: nn.Module, tensors: Tensors, base: str, stack: Stack) -> None:
        self.model, self.tensors, self.base, self.stack = model, tensors, base, stack

    def sites(self) -> Iterator[Site]:
        layers = self.model.get_submodule(self.base + self.stack.layers)
        for index in range(len(list(layers.children()))):
            name = f"{self.stack.layers}.{index}"
            for attention in self.stack.attention:
                if has(self.model, f"{self.base}{name}.{attention.block}"):
                    yield from self._attention(name, attention)
            yield from self._neurons(name, self.stack.feed_forward)
            if index >= self.stack.fixed and self._alike:
                yield self._layer(name)

    @property
    def _alike(self) -> bool:
        """Layers of several types take their turns by place, so that none can leave."""
        return len(set(getattr(self.model.config, "layer_types", None) or ())) < 2

    def _attention(self, layer: str, data: Attention) -> Iterator[Site]:
        path, name = f"{self.base}{layer}", f"{layer}.{data.name}".rstrip(".")
        block = f"{path}.{data.block}"
        width = getattr(self.model.get_submodule(block), data.head_dim)
        query, key, value = self._projections(block, data.query, data.key, data.value)
        queries, groups = query.rows // width, key.rows // width
        if not queries:
            return
        share = queries // groups
        out = f"{path}.{data.out}"
        more = [p for _, p in data.positions if has(self.model, f"{block}.{p}")]
        shared = (key, value, *self._projections(block, *more))
        slices = [
            *self._outputs(query, width * share),
            *chain.from_iterable(self._outputs(p, width) for p in shared),
            *self._inputs(out, width * share),
        ]
        attrs = tuple(f"{block}.{attr}" for attr in data.attrs)
        residual = f"{path}.{data.residual}"
        other = (data.key, data.value) if data.name else ()
        positions = (p if p in more else own for own, p in data.positions)
        aside = tuple(f"{block}.{p}" for p in dict.fromkeys((*other, *positions)))
        heads = Site(
            f"{name}:heads", "heads", (groups,), tuple(slices), out, attrs, residual=residual,
            aside=aside,
        )  # fmt: skip
        yield heads
        yield heads.coarse(f"{name or layer}.attention:sublayers", "sublayers")
        if data.groups and share > 1:
            slices = [*self._outputs(query, width), *self._inputs(out, width)]
            groups_attr = (f"{block}.{data.groups}",)
            yield Site(
                f"{name}:queries", "queries", (queries,), tuple(slices), out, groups_attr,
                even=share, residual=residual,
            )  # fmt: skip

    def _projections(self, block: str, *names: str) -> Iterator["_Projection"]:
        for index, name in enumerate(names):
            module = f"{block}.{name}"
            rows = self._rows(module) // names.count(name)
            yield _Projection(module, rows, rows * names[:index].count(name))

    def _neurons(self, layer: str, data: FeedForward) -> Iterator[Site]:
        path = f"{self.base}{layer}"
        found = (up for up in data.up if has(self.model, f"{path}.{up}"))
        ups = list(self._projections(path, *found))
        down = f"{path}.{data.down}"
        units = ups[0].rows
        if not units:
            return
        slices = [part for up in ups for part in self._outputs(up, 1)]
        slices += self._inputs(down, 1)
        neurons = Site(
            f"{layer}:neurons", "neurons", (units,), tuple(slices), down,
            tuple(f"{path}.{attr}" for attr in data.attrs), residual=f"{path}.{data.residual}",
        )  # fmt: skip
        yield neurons
        yield neurons.coarse(f"{layer}.feed_forward:sublayers", "sublayers")

    def _layer(self, layer: str) -> Site:
        path = f"{self.base}{layer}"
        tensors = self.tensors
        axes = {n: tensors.outputs(n) for n in tensors.under(path) if tensors.shapes[n]}
        slices = [Slice(n, (axis,), (tensors.shapes[n][axis],)) for n, axis in axes.items()]
        return Site(f"{layer}:layers", "layers", (1,), tuple(slices), path)

    def _rows(self, module: str) -> int:
        weight = f"{module}.weight"
        return self.tensors.shapes[weight][self.tensors.outputs(weight)]

    def _outputs(self, made: "_Projection", tile: int) -> list[Slice]:
        names = (f"{made.module}.weight", f"{made.module}.bias")
        return [
            Slice(name, (self.tensors.outputs(name),), (tile,), made.start)
            for name in names
            if name in self.tensors.shapes
        ]

    def _inputs(self, module: str, tile: int) -> list[Slice]:
        weight = f"{module}.weight"
        return [Slice(weight, (1 - self.tensors.outputs(weight),), (tile,))]


class _Projection(NamedTuple):
    """A part of a module's outputs: how many, and from where."""

    module: str
    rows: int
    start: int


def _channels(model: nn.Module, data: Channels, tensors: Tensors, base: str) -> list[Site]:
    found: dict[Slice, None] = {}
    for pattern, axis, *only in data.slices:
        if only and not re.search(only[0], type(model).__name__):
            continue
        for alias, owner in tensors.aliases.items():
            if re.fullmatch(pattern, alias.removeprefix(base)):
                found[Slice(owner, (axis,), (1,))] = None
    if not found:
        return []
    first = next(iter(found))
    width = tensors.shapes[first.tensor][first.axis]
    norms, entries = (
        tuple(n for n, _ in model.named_modules() if n and re.fullmatch(p, n.removeprefix(base)))
        for p in (data.norms, data.entries)
    )
    name = f"{data.name}:channels"
    return [Site(name, "channels", (width,), tuple(found), norms=norms, entries=entries)]
