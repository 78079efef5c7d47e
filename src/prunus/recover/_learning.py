"""Which weights of a model learn, while a block runs."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy
import torch
from torch import Tensor, nn
from transformers import set_seed

from prunus.adapt import Adaptation, attach, factors, freeze, merge
from prunus.edit import mask, settle
from prunus.errors import PrunusError
from prunus.site import Site, Slice

What = Literal["all", "biases_and_norms", "lora"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers from a seed; afterwards every generator goes on where it was."""
    python, arrays = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng():
        set_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            numpy.random.set_state(arrays)


@contextmanager
def learning(
    model: nn.Module, what: What, *, embeddings: bool, part: Adaptation | None = None
) -> Iterator[None]:
    """Gradients for some weights; afterwards every weight and module is in the mode it was in.

    Args:
        model: anything; adapters are put in and merged in place.
        what: ``all`` weights, vectors alone (``biases_and_norms``), or ``lora``: adapters alone.
        embeddings: whether lookup tables, and what is tied to them, learn too.
        part: the adapters that learn in the place of the weights that they stand on.

    Raises:
        PrunusError: nothing would learn.
    """
    modes = [(module, module.training) for module in model.modules()]
    wanted = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        if part is not None:
            with adapting(model, part, what == "lora"):
                yield
        else:
            for weight in _chosen(model, what, embeddings):
                weight.requires_grad_(True)
            yield
    finally:
        for weight, before in wanted:
            weight.requires_grad_(before)
        for module, before in modes:
            module.training = before


def _chosen(model: nn.Module, what: What, embeddings: bool) -> list[nn.Parameter]:
    """What learns; nothing else has gradients any more."""
    model.requires_grad_(False)
    tables = set() if embeddings else _tables(model)
    chosen = [
        weight
        for weight in model.parameters()
        if weight.numel() and id(weight) not in tables and (what == "all" or weight.dim() == 1)
    ]
    if not chosen:
        raise PrunusError(
            f"recover: finetune: train: {what}: a {type(model).__name__} has no such weights; use"
            " train: all"
        )
    return chosen


def _tables(model: nn.Module) -> set[int]:
    return {id(own.weight) for own in model.modules() if isinstance(own, nn.Embedding)}


@contextmanager
def adapting(model: nn.Module, part: Adaptation, alone: bool) -> Iterator[None]:
    """Adapters learn while a block runs, and are merged at its end.

    Args:
        model: gets the adapters in place.
        part: how they are made.
        alone: nothing else learns; or else what :func:`prunus.adapt.learns` names.

    Raises:
        PrunusError: no layer can be adapted.
    """
    attach(model, part)
    try:
        freeze(model)
        if alone:
            added = factors(model)
            for name, weight in model.named_parameters():
                weight.requires_grad_(name in added)
        yield
    finally:
        merge(model)


@contextmanager
def held(model: nn.Module, masked: Iterable[str]) -> Iterator[None]:
    """What is zero in some tensors gets no gradient, so that AdamW leaves it at zero.

    Args:
        model: some of its weights learn.
        masked: names of its tensors.
    """
    hooks = []
    for name in masked:
        weight = model.get_parameter(name)
        if weight.requires_grad:
            stays = weight.detach() != 0
            hooks.append(weight.register_hook(lambda gradient, stays=stays: gradient * stays))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def masked(model: nn.Module, names: Iterable[str]) -> Iterator[None]:
    """What is zero in some tensors stays zero, whatever adapters add to it and are merged into.

    Args:
        model: gets adapters, learns, and has them merged while the block runs.
        names: of its tensors.
    """
    stays = {name: model.get_parameter(name).detach() != 0 for name in names}
    sites = {name: _entries(name, own) for name, own in stays.items()}
    with mask(model, sites, stays):
        yield
    settle(model, sites, stays)


def _entries(name: str, tensor: Tensor) -> Site:
    """A tensor as a grid of its entries."""
    part = Slice(name, tuple(range(tensor.dim())), (1,) * tensor.dim())
    return Site(name, "grid", tuple(tensor.shape), (part,))
