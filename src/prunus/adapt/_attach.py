"""Adapters put into a model, and merged into its weights."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from prunus.adapt._adaptation import Adaptation
from prunus.adapt._layer import MIXINS, Adapted, mixin_of
from prunus.anatomy._tensors import Tensors
from prunus.edit import mixed
from prunus.errors import PrunusError
from prunus.registry import build

ADAPTER = "adapter"


def attach(model: nn.Module, spec: str | Mapping[str, Any] | Adaptation) -> list[str]:
    """Give a model's layers adapters, in place; weights, names and classes stay what they are.

    Layers that have none of their own outputs or inputs left, whose weight is tied to another's, or
    that the adaptation has no form for, are left alone, unless ``match`` asks for them.

    Args:
        model: any torch module.
        spec: an adaptation: its name, or a mapping with ``name`` and settings.

    Returns:
        The names of the layers that have an adapter now.

    Raises:
        PrunusError: a layer has one already, ``match`` asks for a layer that cannot be adapted, or
            no layer can.
    """
    part: Adaptation = build("adapt", spec)
    names = list(_chosen(model, part))
    if not names:
        raise PrunusError(_nothing(model, part))
    for name in names:
        _adapt(model.get_submodule(name), part)
    return names


def adapted(model: nn.Module) -> dict[str, Adapted]:
    """{name: layer} of the layers that have an adapter."""
    return {name: own for name, own in model.named_modules() if isinstance(own, Adapted)}


def merge(model: nn.Module) -> list[str]:
    """Add every delta to its weight, in place; layers are of their own class again.

    Returns:
        The names of the layers that had an adapter.
    """
    found = adapted(model)
    for layer in found.values():
        with torch.no_grad():
            layer.weight.copy_(layer.effective_weight())
        strip(layer)
    return list(found)


def strip(layer: Adapted) -> None:
    """Take a layer's adapter away, in place."""
    del layer.adapter
    layer.__class__ = type(layer).__bases__[1]


def _adapt(module: Any, part: Adaptation) -> None:
    mixin = mixin_of(module)
    assert mixin is not None
    module.adapter = part.make(module.weight.detach(), mixin.outputs)
    module.__class__ = mixed(mixin, type(module))


def _chosen(model: nn.Module, part: Adaptation) -> Iterator[str]:
    tensors = Tensors.of(model)
    tied = {alias for alias, owner in tensors.aliases.items() if alias != owner}
    tied |= {tensors.aliases[alias] for alias in tied}
    for name, module in model.named_modules():
        if not _matches(name, module, part) or (name in tensors.head and not part.head):
            continue
        if isinstance(module, Adapted):
            raise PrunusError(
                f"{name} has an adapter already; merge it first, or narrow `match` to other layers"
            )
        fault = _fault(module, part, f"{name}.weight" in tied)
        if not fault:
            yield name
        elif part.match is not None:
            raise PrunusError(f"{name} ({type(module).__name__}) cannot be adapted: {fault}")


def _matches(name: str, module: nn.Module, part: Adaptation) -> bool:
    """Whether a layer is meant: vectors, such as those of norms, are no layers."""
    weight = module._parameters.get("weight")
    if weight is None or weight.dim() < 2:
        return False
    return part.match is None or re.fullmatch(part.match, name) is not None


def _fault(module: Any, part: Adaptation, tied: bool) -> str:
    """Why a layer cannot have an adapter, or ""."""
    stock = next((kind for kind in MIXINS if isinstance(module, kind)), None)
    if stock is None:
        return f"there are adapters for {', '.join(kind.__name__ for kind in MIXINS)}"
    if type(module).forward is not stock.forward:
        return f"it computes something else than {stock.__name__}"
    if tied:
        return "its weight is another layer's as well"
    if not module.weight.is_floating_point():
        return f"its weight is of type {module.weight.dtype}"
    if not module.weight.numel():
        return "nothing is left of it"
    return part.fault(module.weight.shape[2:])


def _nothing(model: nn.Module, part: Adaptation) -> str:
    head = ", ".join(sorted(Tensors.of(model).head))
    left_out = f"; the head ({head}) is left out, `head: true` takes it" if head else ""
    asked = "can be adapted" if part.match is None else f"matches {part.match!r}"
    return f"no layer of {type(model).__name__} {asked}{left_out}"
