"""Sentence-transformers folders: a transformer, and modules that pool and map what it answers."""

import json
import shutil
from pathlib import Path
from typing import Any

from prunus.errors import PrunusError
from prunus.notation import read_json

MODULES = "modules.json"
TRANSFORMER = "Transformer"
WEIGHTS = {".safetensors", ".bin", ".h5", ".msgpack", ".onnx", ".ot", ".pt", ".gguf"}


def transformer_of(folder: Path) -> Path:
    """The folder that holds the transformer: that of a module, or the folder itself.

    Raises:
        PrunusError: it is a sentence-transformers folder without a transformer.
    """
    if not (folder / MODULES).is_file():
        return folder
    return _inside(folder, _transformer(folder, _modules(folder)))


def others_of(folder: Path) -> list[str]:
    """What a sentence-transformers folder has beside its transformer: ``Pooling``, ``Normalize``.

    Raises:
        PrunusError: it is broken.
    """
    if not (folder / MODULES).is_file():
        return []
    return [kind for kind in map(_kind, _modules(folder)) if kind != TRANSFORMER]


def keep_around(source: Path, folder: Path) -> None:
    """Copy all of a sentence-transformers folder but the transformer's weights.

    The transformer is expected in ``folder`` itself, whatever its place was. Copies of its weights
    in other formats are not the new model's, and stay behind.

    Args:
        source: a checkpoint; nothing is copied where it is no sentence-transformers folder.
        folder: where the new transformer will be.

    Raises:
        PrunusError: modules.json is broken, or names a folder outside of ``source``.
    """
    if not (source / MODULES).is_file():
        return
    modules = _modules(source)
    transformer = _transformer(source, modules)
    for place in {source, _inside(source, transformer)}:
        for file in place.iterdir():
            if file.is_file() and not WEIGHTS.intersection(file.suffixes):
                shutil.copyfile(file, folder / file.name)
    for module in modules:
        place = _inside(source, module)
        if module is not transformer and place.is_dir() and place != source:
            shutil.copytree(place, folder / place.relative_to(source.resolve()))
    transformer["path"] = ""
    (folder / MODULES).write_text(json.dumps(modules, indent=2), encoding="utf-8")


def _modules(folder: Path) -> list[dict[str, Any]]:
    modules = read_json(folder / MODULES)
    try:
        return [{**module, "path": str(module["path"])} for module in modules]
    except (ValueError, KeyError, TypeError) as error:
        raise PrunusError(f"{folder / MODULES}: not readable ({error!r})") from None


def _transformer(folder: Path, modules: list[dict[str, Any]]) -> dict[str, Any]:
    for module in modules:
        if _kind(module) == TRANSFORMER:
            return module
    kinds = [_kind(module) for module in modules]
    raise PrunusError(f"{folder / MODULES} names no Transformer to prune, only {kinds}")


def _kind(module: dict[str, Any]) -> str:
    return str(module.get("type")).rpartition(".")[2]


def _inside(folder: Path, module: dict[str, Any]) -> Path:
    place = (folder / module["path"]).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise PrunusError(f"{folder / MODULES}: {module['path']!r} lies outside of the checkpoint")
    return place if module["path"] else folder
