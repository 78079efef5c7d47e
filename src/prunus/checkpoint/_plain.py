"""Whether the stock configuration can say what a shrunk model looks like."""

import copy
from functools import reduce
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from prunus.anatomy import Anatomy, Family, anatomy
from prunus.anatomy._stack import base_of, has

STOCK = ("transformers.", "prunus.networks.")


def plain_config(model: PreTrainedModel, stock: type[PreTrainedModel]) -> PretrainedConfig | None:
    """A stock configuration that builds exactly this model's shapes, or None.

    Nothing that was cut is trusted: the stock model is built on the meta device and compared,
    tensor by tensor and module by module.
    """
    config: Any = _dense_config(model, stock)
    if not cast(Any, model.config).prunus["kept"]:
        return config
    sites = anatomy(model)
    if not _say(config, model, sites):
        return None
    try:
        config.validate()
        with torch.device("meta"):
            built = stock(config)
    except (ValueError, TypeError, RuntimeError, StrictDataclassError):
        return None
    return config if _alike(model, built) else None


def stock_of(model: PreTrainedModel) -> type[PreTrainedModel]:
    """The class of transformers, or of our networks, that a model's class derives from, or is."""
    return next(cls for cls in type(model).__mro__ if cls.__module__.startswith(STOCK))


def dense_form(model: PreTrainedModel, device: str = "meta") -> PreTrainedModel:
    """A pruned model as it was before, with weights that mean nothing; on meta it has none."""
    stock: Any = stock_of(model)
    config = _dense_config(model, stock)
    with torch.device(device), no_init_weights():
        return stock(config)


def settings(module: nn.Module) -> dict[str, Any]:
    """The attributes of a module that are plain values."""
    plain = (bool, int, float, tuple, list)
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, plain) and not name.startswith("_") and name != "training"
    }


def _dense_config(model: PreTrainedModel, stock: type[PreTrainedModel]) -> PretrainedConfig:
    config: Any = copy.deepcopy(model.config)
    config.__class__ = stock.config_class
    del config.prunus
    return config


def _say(config: PretrainedConfig, model: PreTrainedModel, sites: Anatomy) -> bool:
    """Write the uniform sizes into a configuration; False where they are not uniform."""
    for key, kind, *under in sites.family.plain:
        of_kind = (site for site in sites.values() if site.kind == kind)
        counts = {site.units for site in of_kind if site.name.startswith("".join(under))}
        if len(counts) > 1:
            return False
        if counts:
            _put(config, key, counts.pop())
    for site in sites.values():
        if site.kind == "heads" and sites.family.head_dim:
            width = getattr(model.get_submodule(site.block), sites.family.head_dim)
            setattr(config, sites.family.head_dim, width)
    _say_layers(config, model, sites.family)
    return True


def _say_layers(config: Any, model: PreTrainedModel, family: Family) -> None:
    for stack in family.stacks:
        path = base_of(model) + stack.layers
        if has(model, path):
            count = len(list(model.get_submodule(path).children()))
            _put(config, stack.count, count)
            if getattr(config, "layer_types", None):  # where layers can leave, they are alike
                config.layer_types = config.layer_types[:count]


def _put(config: Any, key: str, value: int) -> None:
    *inner, leaf = key.split(".")
    setattr(reduce(getattr, inner, config), leaf, value)


def _alike(model: nn.Module, built: nn.Module) -> bool:
    ours, theirs = dict(model.named_modules()), dict(built.named_modules())
    if ours.keys() != theirs.keys() or _shapes(model) != _shapes(built):
        return False
    return all(
        name == ""
        or (
            type(ours[name]) is type(theirs[name])
            and settings(ours[name]) == settings(theirs[name])
        )
        for name in ours
    )


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
