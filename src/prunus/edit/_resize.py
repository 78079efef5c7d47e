"""What follows when tensors got smaller: attentions without heads, dropped layers, module sizes."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from transformers.pytorch_utils import Conv1D

from prunus.anatomy import Family
from prunus.anatomy._empty import NoInputs
from prunus.anatomy._stack import base_of
from prunus.site import Site

PORTABLE = "modeling_prunus"
"""The module that a portable checkpoint carries, where transformers imports it from a copy."""
OURS = re.compile(rf"^prunus\b|\.{PORTABLE}$")


def settle_attention(model: nn.Module, site: Site, rows: Tensor, family: Family) -> None:
    """Let an attention live with the heads that stay, or with none.

    Args:
        model: the model, its tensors already sliced.
        site: a site of kind heads.
        rows: [rows of the query projection], True = stays.
        family: says which classes stand in for the family's attention.
    """
    block: Any = model.get_submodule(site.block)
    stays = rows.reshape(site.units, -1).any(1).tolist()
    if family.indexed is not None:
        known = getattr(block, "kept_heads", range(site.units))
        block.all_heads = getattr(block, "all_heads", site.units)
        block.kept_heads = [head for head, stay in zip(known, stays, strict=True) if stay]
    mixin = family.indexed if any(stays) else family.empty
    if mixin is not None:
        block.__class__ = mixed(mixin, _stock(type(block)))


def own_classes(model: nn.Module, family: Family) -> None:
    """Exchange, in place, the classes of a portable checkpoint's file for prunus' own."""
    ours = (NoInputs, *vars(family).values())
    mixins = {value.__name__: value for value in ours if isinstance(value, type)}
    for module in model.modules():
        mixin = mixins.get(type(module).__bases__[0].__name__)
        if type(module).__module__.endswith(f".{PORTABLE}") and mixin is not None:
            module.__class__ = mixed(mixin, _stock(type(module)))


def drop_layers(model: nn.Module, layers: Iterable[str], family: Family) -> None:
    """Take layers out of their lists; the rest are counted, and numbered anew for caches."""
    counters = {base_of(model) + stack.layers: stack.attrs for stack in family.stacks}
    stacks: dict[str, set[int]] = {}
    for path in layers:
        stack, _, index = path.rpartition(".")
        stacks.setdefault(stack, set()).add(int(index))
    for stack, gone in stacks.items():
        parent, _, leaf = stack.rpartition(".")
        owner = model.get_submodule(parent)
        left = [m for i, m in enumerate(model.get_submodule(stack).children()) if i not in gone]
        setattr(owner, leaf, nn.ModuleList(left))
        for attr in counters[stack]:
            setattr(owner, attr, len(left))
        for index, layer in enumerate(left):
            module: Any
            for module in layer.modules():
                if hasattr(module, "layer_idx"):
                    module.layer_idx = index


def emptiable(projection: Any) -> None:
    """Let a transposed projection, in place, live with no inputs at all."""
    projection.__class__ = mixed(NoInputs, Conv1D)


def refresh(model: nn.Module) -> None:
    """Make the size attributes of standard modules say what their tensors are."""
    for module in model.modules():
        _drop_idle_adapter(module)
        if isinstance(module, Conv1D) and not len(module.weight):
            emptiable(module)
        for attr, size in _sizes(module).items():
            setattr(module, attr, size)


def drop_adapter(layer: Any) -> None:
    """Take a layer's adapter away, in place."""
    del layer.adapter
    layer.__class__ = type(layer).__bases__[1]


def _drop_idle_adapter(module: nn.Module) -> None:
    """Without inputs, or without outputs, an adapter adds nothing to a layer."""
    if "adapter" in module._modules and not cast(Tensor, module.weight).numel():
        drop_adapter(module)


def _sizes(module: nn.Module) -> Mapping[str, object]:
    if isinstance(module, nn.Linear):
        return {"out_features": module.weight.shape[0], "in_features": module.weight.shape[1]}
    if isinstance(module, Conv1D):
        return {"nx": module.weight.shape[0], "nf": module.weight.shape[1]}
    if isinstance(module, nn.LayerNorm) and module.elementwise_affine:
        return {"normalized_shape": tuple(module.weight.shape)}
    if isinstance(module, nn.Embedding):
        return dict(zip(("num_embeddings", "embedding_dim"), module.weight.shape, strict=True))
    if isinstance(module, _ConvNd):
        across = isinstance(module, _ConvTransposeNd)
        sizes = [module.weight.shape[across], module.weight.shape[1 - across]]
        sizes[1 - across] *= module.groups
        return {"out_channels": sizes[0], "in_channels": sizes[1]}
    if isinstance(module, _NormBase) and module.num_features:
        held = module.weight if module.affine else module.running_mean
        return {} if held is None else {"num_features": held.numel()}
    if isinstance(module, nn.GroupNorm) and module.affine:
        return {"num_channels": module.weight.numel()}
    return {}


@cache
def mixed(mixin: type[nn.Module], stock: type[nn.Module]) -> type[nn.Module]:
    """The class of modules that are of both classes, ``mixin`` before ``stock``."""
    return type(
        f"{mixin.__name__}{stock.__name__}", (mixin, stock), {"__module__": mixin.__module__}
    )


def _stock(cls: type) -> type:
    return next(base for base in cls.__mro__ if not OURS.search(base.__module__))
