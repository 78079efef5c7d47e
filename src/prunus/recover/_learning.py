"""Which weights of a model learn, while a block runs."""

import random
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy
import torch
from torch import nn
from transformers import set_seed
from transformers.pytorch_utils import Conv1D

from prunus.errors import PrunusError

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
def learning(model: nn.Module, what: What, *, embeddings: bool, rank: int) -> Iterator[None]:
    """Gradients for some weights; afterwards every weight and module is in the mode it was in.

    Args:
        model: anything; low-rank deltas are put in and merged in place.
        what: ``all`` weights, vectors alone (``biases_and_norms``), or ``lora``, low-rank deltas of
            every linear layer whose weight is no embedding as well.
        embeddings: whether lookup tables, and what is tied to them, learn too.
        rank: of the deltas.

    Raises:
        PrunusError: nothing would learn.
    """
    modes = [(module, module.training) for module in model.modules()]
    wanted = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        if what == "lora":
            with low_rank(model, rank):
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
def low_rank(model: Any, rank: int) -> Iterator[None]:
    """W + 2 B A for W, of which only A [rank, inputs] and B [outputs, rank] learn; then merged.

    LoRA (Hu et al., arXiv 2106.09685) by the package ``peft``, alpha twice the rank; B begins at 0.
    """
    from peft import LoraConfig, LoraModel  # an extra

    tables = _tables(model)
    layers = [
        name
        for name, own in model.named_modules()
        if isinstance(own, nn.Linear | Conv1D)
        and own.weight.numel()
        and id(own.weight) not in tables
    ]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fan_in_fan_out")  # peft sees by itself what it needs
        adapted = LoraModel(model, {"default": config}, "default")
    try:
        yield
    finally:
        adapted.merge_and_unload()
        vars(model).pop("peft_config", None)


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
