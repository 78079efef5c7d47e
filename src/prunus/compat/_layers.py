"""Which layers a pruner of neural-compressor takes."""

import re
from collections.abc import Iterable

from torch import nn

from prunus.anatomy import Anatomy, anatomy, plain
from prunus.compat._config import PrunerConfig
from prunus.errors import PrunusError


def sites_of(model: nn.Module, config: PrunerConfig) -> Anatomy:
    """What a pruner may remove: blocks of its layers' weights, or heads.

    Raises:
        PrunusError: no layer is meant, the pattern divides none of them, or a layer is of a kind
            whose weights prunus does not take as blocks.
    """
    names = layers(model, config)
    if config.tiling is None:
        return _heads(model, set(names))
    whole = plain(model)
    own = [name for name in names if whole.tensors.owner(f"{name}.weight") == f"{name}.weight"]
    other = next((name for name in own if f"{name}.weight" not in whole.tensors.weighted), None)
    if other is not None or not own:
        name = other or names[0]
        raise PrunusError(
            f"pruning_op_types {list(config.pruning_op_types)} take {name!r}, a"
            f" {type(model.get_submodule(name)).__name__}: only weights of Linear, Conv1D, Conv1d"
            " and Conv2d, not tied to embeddings, go in blocks; narrow pruning_op_types"
        )
    match = "|".join(map(re.escape, own))
    return whole.grid(match, config.tiling, indivisible="skip", head=True)


def layers(model: nn.Module, config: PrunerConfig) -> list[str]:
    """The names of a pruner's modules, in the model's order.

    A module is taken where one of ``op_names`` is found in its name and one of
    ``pruning_op_types`` in its class's, unless one of ``excluded_op_names`` is found in its name,
    or it is the last of all: the classifier.

    Raises:
        PrunusError: there is none.
    """
    last = _last(model)
    found = [
        name
        for name, module in model.named_modules()
        if name != last
        and isinstance(getattr(module, "weight", None), nn.Parameter)
        and any(kind in type(module).__name__ for kind in config.pruning_op_types)
        and _searched(config.op_names or (".*",), name)
        and not _searched(config.excluded_op_names, name)
    ]
    if not found:
        here = ", ".join(name for name, _ in model.named_parameters() if name.endswith("weight"))
        raise PrunusError(
            f"op_names {list(config.op_names)} without {list(config.excluded_op_names)} are found"
            f" in no name of a module of types {list(config.pruning_op_types)}; the model's weights"
            f" are {here[:200]} ..."
        )
    return found


def _searched(patterns: Iterable[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _last(model: nn.Module) -> str | None:
    """The last linear layer or convolution, where nothing but dropout comes after it."""
    leaves = [(n, m) for n, m in model.named_modules() if not any(m.children())]
    rest = [(n, m) for n, m in leaves if "Dropout" not in type(m).__name__]
    name, module = rest[-1]
    return name if isinstance(module, nn.Linear | nn.Conv2d) else None


def _heads(model: nn.Module, names: set[str]) -> Anatomy:
    """The attentions whose four projections are all among the layers."""
    whole = anatomy(model).of("heads")
    found = [
        name
        for name, site in whole.items()
        if all(part.tensor.removesuffix(".weight") in names for part in site.weights)
    ]
    if not found:
        raise PrunusError(
            "pattern mha: op_names must take the query, key, value and output projections of an"
            f" attention, but of none are all four among {', '.join(sorted(names)[:4])} ..."
        )
    return whole.only(found)
