"""Checkpoints for machines without prunus: a stock type, and one file that says the sizes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoModel, PreTrainedModel

from prunus.anatomy._stack import base_of
from prunus.auto import auto_classes
from prunus.checkpoint._bundle import Bundle
from prunus.checkpoint._plain import dense_form, settings, stock_of
from prunus.checkpoint._sizes import Resized, resize
from prunus.edit import PORTABLE
from prunus.errors import PrunusError

Sizes = dict[str, dict[str, Any]]

FILE = f"{PORTABLE}.py"
TEXT = '''\
"""A pruned {name}, made by prunus {version}; opened without it by

    transformers.{auto}.from_pretrained(FOLDER, trust_remote_code=True)

The stock model is built as dense as the configuration says, then cut to ``Pruned.SIZES``.
"""

{imports}


{parts}


class Pruned(Resized):
    """The layers that stayed, and what the modules in them have become."""

    LAYERS = {{{layers}}}
    SIZES = {{{sizes}}}


{classes}
'''


def make_portable(model: PreTrainedModel, folder: Path) -> None:
    """Let transformers alone open a checkpoint that was just saved, with ``trust_remote_code``.

    Args:
        model: a pruned model in a class of prunus' own.
        folder: its checkpoint; gets the modelling file, and in its configuration the stock type.

    Raises:
        PrunusError: no Auto class opens the model's head.
    """
    stock: Any = stock_of(model)
    opened = _opened_by(stock)
    auto = next(iter(opened))
    (folder / FILE).write_text(source_of(model, auto, opened.values()), encoding="utf-8")
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["model_type"] = stock.config_class.model_type
    config["auto_map"] = {name: f"{PORTABLE}.Prunus{c.__name__}" for name, c in opened.items()}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def source_of(model: PreTrainedModel, auto: str, classes: Iterable[type]) -> str:
    """The text of the modelling file.

    Args:
        model: a pruned model.
        auto: the Auto class that its docstring names.
        classes: stock classes whose pruned form it shall hold.
    """
    layers, sizes = _layers(model), sizes_of(model)
    bundle = Bundle()
    bundle.add(Resized)
    own = [_class(bundle, cls.__name__, cls.__bases__) for cls in _blocks(sizes)]
    bases = dict.fromkeys(classes)
    own_models = [_class(bundle, f"Prunus{cls.__name__}", ("Pruned", cls)) for cls in bases]
    return TEXT.format(
        name=stock_of(model).__name__,
        version=version("prunus"),
        auto=auto,
        imports=bundle.imports,
        parts="\n\n\n".join([*bundle.parts.values(), *own]),
        layers=_rows((path, repr(kept)) for path, kept in layers.items()),
        sizes=_rows((path, _row(changes)) for path, changes in sizes.items()),
        classes="\n\n\n".join(own_models),
    )


def sizes_of(model: PreTrainedModel) -> Sizes:
    """What makes the modules of a pruned model other than those of its dense form.

    Returns:
        {module: {attribute: value, tensor: its sizes where they differ, else None}}.
    """
    dense = dense_form(model)
    resize(dense, _layers(model), {})
    before = dict(dense.named_modules(remove_duplicate=False))
    found: Sizes = {}
    for path, module in model.named_modules(remove_duplicate=False):
        changes = dict(_changes(module, before[path]))
        if type(module) is not type(before[path]) and path:
            changes["__class__"] = type(module)
        if changes:
            found[path] = changes
    return found


def _changes(module: nn.Module, before: nn.Module) -> Iterator[tuple[str, Any]]:
    told = settings(before)
    for name, value in settings(module).items():
        if name not in told or told[name] != value:
            yield name, value
    tensors = {**module._parameters, **module._buffers}
    for name, tensor in tensors.items():
        old = getattr(before, name)
        if tensor is not None and tensor.shape != old.shape:
            pairs = zip(tensor.shape, old.shape, strict=True)
            yield name, tuple(None if size == dense else size for size, dense in pairs)


def _layers(model: PreTrainedModel) -> dict[str, list[int]]:
    """{list of layers: the dense numbers of those that stay}."""
    config: Any = model.config
    kept = sorted(config.prunus["kept"].items())  # as a file tells it, whatever was cut first
    base = base_of(model)
    return {base + name.removesuffix(":layers"): n for name, n in kept if name.endswith(":layers")}


def _opened_by(stock: Any) -> dict[str, type]:
    """{Auto class: stock class}: those that open a head as it is, and the one for its base."""
    heads = {auto.__name__: classes for auto, classes in auto_classes(stock.config_class)}
    same = {name: stock for name, classes in heads.items() if stock in classes}
    if not same:
        raise PrunusError(
            f"a {stock.__name__} cannot be portable: no Auto class of transformers opens one;"
            " save it without `portable`, to be opened with prunus"
        )
    return {**same, AutoModel.__name__: heads[AutoModel.__name__][0]}


def _blocks(sizes: Sizes) -> Iterable[type]:
    """The classes of modules that are not stock ones."""
    found = (changes.get("__class__") for changes in sizes.values())
    return dict.fromkeys(cls for cls in found if cls is not None)


def _class(bundle: Bundle, name: str, bases: tuple[Any, ...]) -> str:
    named = [base if isinstance(base, str) else bundle.add(base) for base in bases]
    return f'class {name}({", ".join(named)}):\n    """A pruned {named[-1]}."""'


def _row(changes: Mapping[str, Any]) -> str:
    told = {name: v.__name__ if isinstance(v, type) else repr(v) for name, v in changes.items()}
    return "{" + ", ".join(f'"{name}": {value}' for name, value in told.items()) + "}"


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    text = "".join(f'        "{path}": {value},\n' for path, value in rows)
    return f"\n{text}    " if text else ""
