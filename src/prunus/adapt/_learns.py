"""What of an adapted model is trained."""

from collections import defaultdict
from typing import Any

from torch import nn

from prunus.adapt._attach import adapted
from prunus.anatomy._tensors import Tensors
from prunus.errors import PrunusError


def freeze(model: nn.Module) -> list[str]:
    """Let gradients flow into what :func:`learns` names, and into nothing else.

    Returns:
        The names of the parameters that are trained.

    Raises:
        PrunusError: the model has no adapter.
    """
    names = learns(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)
    return names


def learns(model: nn.Module) -> list[str]:
    """The parameters that are trained beside frozen weights.

    Adapters, biases, norms (all that are vectors), and the head, unless it has adapters itself or
    is tied to embeddings.

    Raises:
        PrunusError: the model has no adapter.
    """
    layers = adapted(model)
    if not layers:
        raise PrunusError(f"{type(model).__name__} has no adapter: attach some first")
    tensors = Tensors.of(model)
    tied = {owner for alias, owner in tensors.aliases.items() if alias != owner}
    added = factors(model)
    heads = {f"{name}.weight" for name in tensors.head - layers.keys()} - tied
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.dim() == 1 or name in heads or name in added
    ]


def factors(model: nn.Module) -> set[str]:
    """The parameters that adapters are made of, those that they share too."""
    own = {id(part) for layer in adapted(model).values() for part in layer.adapter.factors()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


def groups(model: nn.Module) -> list[dict[str, Any]]:
    """What learns at a learning rate of its own, as optimizers are told of it.

    Returns:
        ``{"params": [...], "lr": rate}`` for every ``learning_rate`` that an adaptation has; what
        is in none of them learns at the training's.
    """
    found = defaultdict[float, list[nn.Parameter]](list)
    for layer in adapted(model).values():
        rate = layer.adapter.made.get("learning_rate")
        if rate is not None:
            found[rate] += layer.adapter.paced()
    return [{"params": params, "lr": rate} for rate, params in found.items()]


def trained_parameters(model: nn.Module) -> int:
    """How many numbers of a model are trained: entries of parameters that have gradients."""
    return sum(own.numel() for own in model.parameters() if own.requires_grad)
