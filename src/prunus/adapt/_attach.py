"""Adapters put into a model, and merged into its weights."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from prunus.adapt._adaptation import Adaptation
from prunus.adapt._attention import AdaptedAttention, opaque
from prunus.adapt._layer import Adapted, AdaptedConv, AdaptedConv1D, AdaptedLinear
from prunus.adapt._prototypes import OWNED
from prunus.anatomy._tensors import Tensors
from prunus.edit import drop_adapter, mixed
from prunus.errors import PrunusError
from prunus.registry import build

ADAPTER = "adapter"
MIXINS: Mapping[type[nn.Module], type[Adapted]] = {
    nn.Linear: AdaptedLinear,
    Conv1D: AdaptedConv1D,
    nn.Conv1d: AdaptedConv,
    nn.Conv2d: AdaptedConv,
    nn.Conv3d: AdaptedConv,
    nn.MultiheadAttention: AdaptedAttention,
}
"""{a class of layers: what is put before it}."""
INNER = "torch's layer around it reads its weight by itself"


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
    found = dict(_chosen(model, part))
    names = [name for name, fault in found.items() if not fault]
    if not names:
        raise PrunusError(_nothing(model, part, found))
    for name in names:
        _adapt(model.get_submodule(name), part, model)
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
            layer.get_parameter(layer.holds).copy_(layer.effective_weight())
        drop_adapter(layer)
    for owner in [module for module in model.modules() if hasattr(module, OWNED)]:
        delattr(owner, OWNED)
    return list(found)


def _adapt(module: Any, part: Adaptation, owner: nn.Module) -> None:
    mixin = _mixin(module)
    assert mixin is not None
    if mixin is AdaptedAttention:
        out = module.out_proj
        _adapt(out, part, owner)
        part = build("adapt", out.adapter.made)  # a share of the outputs is one rank
    module.adapter = part.make(getattr(module, mixin.holds).detach(), mixin.outputs, owner)
    module.__class__ = mixed(mixin, type(module))


def _chosen(model: nn.Module, part: Adaptation) -> Iterator[tuple[str, str]]:
    """(a layer, why it cannot be adapted, or "")."""
    tensors = Tensors.of(model)
    names = Counter(tensors.aliases.values())
    tied = {id(own) for name, own in model.named_parameters() if names[name] > 1}
    inner = opaque(model)
    for name, module in model.named_modules():
        weight = _weight(module)
        if weight is None or (name in tensors.head and not part.head):
            continue
        if part.match is not None and not re.fullmatch(part.match, name):
            continue
        if isinstance(module, Adapted) and name not in inner:
            raise PrunusError(
                f"{name} has an adapter already; merge it first, or narrow `match` to other layers"
            )
        shared = id(weight) in tied
        fault = INNER if name in inner else _fault(module, weight, part, shared)
        if fault and part.match is not None and not _is_output(model, name):
            raise PrunusError(f"{name} ({type(module).__name__}) cannot be adapted: {fault}")
        yield name, fault


def _is_output(model: nn.Module, name: str) -> bool:
    """Whether it is an attention's output projection, which is adapted with the attention."""
    return isinstance(model.get_submodule(name.rpartition(".")[0]), nn.MultiheadAttention)


def _mixin(module: nn.Module) -> type[Adapted] | None:
    """What is put before a layer's class, if there is something."""
    stock = _stock(module)
    return None if stock is None else MIXINS[stock]


def _stock(module: nn.Module) -> type[nn.Module] | None:
    """The class of layers that there is an adapter for, which a module is of."""
    return next((kind for kind in MIXINS if isinstance(module, kind)), None)


def _weight(module: nn.Module) -> Tensor | None:
    """A layer's weight; vectors, such as those of norms, are none."""
    mixin = _mixin(module)
    weight = module._parameters.get(mixin.holds if mixin else "weight")
    return weight if weight is not None and weight.dim() > 1 else None


def _fault(module: nn.Module, weight: Tensor, part: Adaptation, tied: bool) -> str:
    """Why a layer cannot have an adapter, or ""."""
    stock = _stock(module)
    if stock is None:
        return f"there are adapters for {', '.join(kind.__name__ for kind in MIXINS)}"
    if type(module).forward is not stock.forward:
        return f"it computes something else than {stock.__name__}"
    if tied:
        return "its weight is another layer's as well"
    if not weight.is_floating_point():
        return f"its weight is of type {weight.dtype}"
    return _unfit(module, weight, part) if weight.numel() else "nothing is left of it"


def _unfit(module: Any, weight: Tensor, part: Adaptation) -> str:
    """Why an adaptation has no form for a layer's weights, or ""."""
    mixin = _mixin(module)
    assert mixin is not None
    outputs, inputs, *kernel = weight.shape
    if mixin.outputs:
        outputs, inputs = inputs, outputs
    fault = part.fault((outputs, inputs, *kernel))
    return fault or (part.fault((inputs, inputs)) if mixin is AdaptedAttention else "")


def _nothing(model: nn.Module, part: Adaptation, found: Mapping[str, str]) -> str:
    head = ", ".join(sorted(Tensors.of(model).head))
    left_out = f"; the head ({head}) is left out, `head: true` takes it" if head else ""
    asked = "can be adapted" if part.match is None else f"matches {part.match!r}"
    why = next((f": {name}: {fault}" for name, fault in found.items()), "")
    return f"no layer of {type(model).__name__} {asked}{why}{left_out}"
