"""Teaches transformers' Auto classes to open pruned checkpoints, without importing torch itself.

A checkpoint of type ``prunus_bert`` is a dense BERT configuration with one more key, ``prunus``,
that says what was kept. Its classes are made from the stock ones when they are first needed.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from prunus.registry import names

TRIGGER = "transformers.models.auto.configuration_auto"
PREFIX = "prunus_"


class _AfterTransformers(MetaPathFinder):
    """Registers the pruned families right after transformers has made its table of families."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The usual spec of the one module that matters, with registration behind its execution."""
        if fullname != TRIGGER:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            register()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Register now where transformers is loaded, else as soon as it is."""
    if TRIGGER in sys.modules:
        register()
    elif not any(isinstance(finder, _AfterTransformers) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterTransformers())


def register() -> None:
    """Make every pruned family known to ``AutoConfig``; their models follow on first use."""
    mapping = sys.modules[TRIGGER].CONFIG_MAPPING
    mapping._extra_content = _Families(mapping, mapping._extra_content)


class _Families(dict):
    """Transformers' table of additional families, in which ours are made when looked up.

    They cannot be made earlier: the table is loaded in the middle of loading the very
    configurations that ours derive from. Families that are traced are not listed, but found.
    """

    def __init__(self, mapping: Any, others: Mapping[str, type]) -> None:
        known = set(names("anatomy"))
        types = [key for key in mapping if key.replace("-", "_") in known]
        own = names("networks")
        made = {PREFIX + key: None for key in (*types, *own)} | dict.fromkeys(own)
        super().__init__(made | dict(others))
        self.mapping = mapping

    def __contains__(self, key: object) -> bool:
        stock = str(key).removeprefix(PREFIX)
        return super().__contains__(key) or (stock != key and stock in self.mapping._mapping)

    def __missing__(self, key: str) -> type | None:
        if key in self:
            return None
        raise KeyError(key)

    def __getitem__(self, key: str) -> type:
        found = super().__getitem__(key)
        if found is not None:
            return found
        if key.startswith(PREFIX):
            return config_class(self.mapping[key.removeprefix(PREFIX)])
        return network_config(key)

    def values(self) -> list[type]:
        return [self[key] for key in self]

    def items(self) -> list[tuple[str, type]]:
        return [(key, self[key]) for key in self]


@cache
def network_config(name: str) -> Any:
    """The configuration of one of prunus' own networks, whose model its Auto class then knows."""
    made = import_module("prunus.networks").model_of(name)
    auto = import_module("transformers.models.auto.modeling_auto").AutoModelForImageClassification
    auto.register(made.config_class, made, exist_ok=True)
    return made.config_class


@cache
def config_class(stock: Any) -> Any:
    """The configuration of a pruned family: the stock one, with its own ``model_type``."""

    def post_init(self: Any, **kwargs: Any) -> None:
        stock.__post_init__(self, **kwargs)
        register_models(pruned)

    body = {
        "model_type": PREFIX + stock.model_type,
        "__post_init__": post_init,
        "__module__": __name__,
        "__doc__": f"Configuration of a pruned model; see :class:`{stock.__name__}`.",
    }
    pruned = type(f"Prunus{stock.__name__}", (stock,), body)
    return pruned


def own_config(config: Any) -> Any:
    """The configuration of a portable checkpoint, in place, as prunus' own; others as they are."""
    if hasattr(config, "prunus") and not config.model_type.startswith(PREFIX):
        config.__class__ = config_class(type(config))
        vars(config).pop("auto_map", None)
        register_models(type(config))
    return config


@cache
def register_models(config: type) -> None:
    """Make every model class of a pruned family known to its Auto class."""
    model_class = import_module("prunus.checkpoint").model_class
    for auto, classes in auto_classes(config.__mro__[1]):
        made = [model_class(cls) for cls in classes]
        auto.register(config, tuple(made) if len(made) > 1 else made[0], exist_ok=True)


def auto_classes(stock: type) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """(Auto class, model classes) of everything that opens a stock configuration.

    Of several classes the one is opened that a checkpoint's architecture names.
    """
    for auto in vars(import_module("transformers.models.auto.modeling_auto")).values():
        mapping = getattr(auto, "_model_mapping", None) if isinstance(auto, type) else None
        found = None if mapping is None else mapping.get(stock, None)
        classes = found if isinstance(found, tuple) else (found,) if found else ()
        own = tuple(cls for cls in classes if cls.config_class is stock)  # not around another model
        if own:
            yield auto, own
