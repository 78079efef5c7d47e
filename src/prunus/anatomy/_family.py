"""The vocabulary in which a model family is written down: data, read by ``_stack``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Attention:
    """One attention of a layer; paths are relative to the layer.

    Attributes:
        name: "" for the layer's own attention, or a name such as "cross" for one to another
            sequence, which keys and values read.
        block: the module that computes heads.
        query, key, value: projections, relative to ``block``; those that are one module share its
            outputs equally, in this order (a fused projection).
        out: the projection that reads the heads.
        residual: the module whose input is the stream that ``out`` is added to.
        head_dim: attribute of ``block`` that says how wide a head is.
        attrs: attributes of ``block`` that follow the number of heads.
        groups: attribute of ``block`` that follows the number of query heads per KV group.
        positions: (projection, what projects relative positions in its place), both relative to
            ``block``; where a model lacks the latter, the former reads the positions too.
    """

    block: str
    query: str
    key: str
    value: str
    out: str
    residual: str
    head_dim: str
    attrs: tuple[str, ...] = ()
    groups: str = ""
    name: str = ""
    positions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class FeedForward:
    """The feed-forward part of a layer: ``up`` projections (those that exist) and ``down``.

    ``attrs`` are attributes, relative to the layer, that follow the number of neurons.
    """

    up: tuple[str, ...]
    down: str
    residual: str
    attrs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:
    """A list of like layers, relative to the base model.

    Attributes:
        layers: path of the ModuleList.
        attention: the attentions of a layer; one that a model lacks is passed over.
        feed_forward: its feed-forward part.
        fixed: how many first layers cannot be removed as a whole.
        count: the configuration key that says how many layers there are; dotted where a
            configuration holds others.
        attrs: attributes of the module that holds the list, which say so too.
    """

    layers: str
    attention: tuple[Attention, ...]
    feed_forward: FeedForward
    count: str
    fixed: int = 0
    attrs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Channels:
    """A residual stream.

    Attributes:
        slices: (regular expression on tensor names relative to the base, axis) or, with a third
            entry, only in model classes whose name it matches.
        norms: regular expression on module names: the norms that the stream crosses.
        entries: regular expression on module names: what reads the stream with no norm before,
            such as the first layer after embeddings without one.
        name: the stream's name; a model has one site for each name.
    """

    slices: tuple[tuple[str, int] | tuple[str, int, str], ...]
    norms: str
    entries: str = ""
    name: str = "stream"


@dataclass(frozen=True)
class Family:
    """Everything prunus knows of a model family.

    Attributes:
        stacks: its stacks of layers, in forward order.
        channels: its residual stream, or streams; () where none can be cut.
        empty: a mixin that computes an attention without heads: same outputs, no work.
        indexed: a mixin for attentions that must know which heads stayed, where there are such.
        plain: (configuration key, site kind) or, with a third entry, only for sites whose name
            begins so: the stock configuration's words for how many units every layer has; of two
            entries for a key the last whose kind the model has is meant. What cannot be said this
            way makes a checkpoint of prunus' own type.
        head_dim: the stock configuration's word for the width of a head, which it must say once
            there are fewer heads than the width of the stream holds; also attentions' word.
        configured: gives the family as a model's configuration changes it, where some do.
    """

    stacks: tuple[Stack, ...]
    channels: Channels | tuple[Channels, ...]
    empty: type[nn.Module]
    indexed: type[nn.Module] | None = None
    plain: tuple[tuple[str, str] | tuple[str, str, str], ...] = ()
    head_dim: str = ""
    configured: Callable[["Family", Any], "Family"] | None = None

    @property
    def streams(self) -> tuple[Channels, ...]:
        """Its residual streams."""
        return (self.channels,) if isinstance(self.channels, Channels) else self.channels
