"""From YAML and ``key=value`` to a recipe, with every fault told at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from prunus import notation
from prunus.errors import PrunusError
from prunus.formats import KEY, Format
from prunus.recipe._fault import Fault, SettingsError
from prunus.recipe._model import Recipe, TrainRecipe
from prunus.recipe._override import NAMED, ask, override
from prunus.recipe._parts import FOLDERS, class_of
from prunus.recipe._shipped import find
from prunus.registry import Part, faults, names

Read = TypeVar("Read", Recipe, TrainRecipe)
NONE: Mapping[str, Any] = MappingProxyType({})
FORMAT = Format("recipe", unsaid=1)
"""Runs say it in their ``recipe.yaml``; people need not."""
HINTS = {"density": "; a density is the fraction that stays, above 0 and at most 1"}


def read(
    source: str | Path, overrides: Sequence[str] = (), amounts: Mapping[str, Any] = NONE
) -> Recipe:
    """The recipe in a file, or of a shipped name.

    Args:
        source: see :func:`prunus.recipe.find`.
        overrides: ``key.sub=value``, values written as in YAML.
        amounts: how much may stay instead of what the file says: ``max_loss``, ``speedup`` or
            ``max_bytes``; overrides come after.

    Raises:
        PrunusError: no such recipe, no YAML, or every fault in it, with nearest names.
    """
    return _read(Recipe, source, overrides, amounts)


def read_training(source: str | Path, overrides: Sequence[str] = ()) -> TrainRecipe:
    """As :func:`read`, for a fine-tuning."""
    return _read(TrainRecipe, source, overrides)


def read_task(source: str | Path) -> dict[str, Any]:
    """The task of a recipe of either kind, unchecked.

    Raises:
        PrunusError: no such recipe, no YAML, or no task in it.
    """
    path = find(source)
    task = settings_in(path).get("task")
    if task is None:
        raise PrunusError(f"{path}: the key 'task' is missing")
    return task


def written(settings: Mapping[str, Any]) -> str:
    """A recipe with every default spelt out, as runs write it."""
    stamped = {KEY: FORMAT.version, **settings}
    return yaml.safe_dump(stamped, sort_keys=False, allow_unicode=True)


def _read(
    cls: type[Read],
    source: str | Path,
    overrides: Sequence[str],
    amounts: Mapping[str, Any] = NONE,
) -> Read:
    path = find(source)
    said = settings_in(path)
    if {"rows", "table"} & said.keys():
        raise PrunusError(f"{path} is a sheet of many runs: use `prunus study run {source}`")
    data = override(cls, ask(said, amounts), overrides)
    found, recipe = [], None
    try:
        recipe = cls.model_validate(data)
    except ValidationError as error:
        found = faults(cls, error)
    found += [fault for spec in _specs(cls, data) for fault in _settings_faults(*spec)]
    if recipe is None or found:
        found = [(key, f"{message}{_hint(key, message)}") for key, message in found]
        asked = (f"{word}={value}" for word, value in amounts.items())
        raise SettingsError(_told(" ".join([str(path), *asked, *overrides]), found), found)
    return recipe


def _told(where: str, found: Iterable[Fault]) -> str:
    return "\n".join([f"{where}:", *(f"  {path}: {message}" for path, message in found)])


def _hint(path: str, message: str) -> str:
    return HINTS.get(path.rpartition(".")[2], "") if "Input should be" in message else ""


def _specs(cls: type[Part], data: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(dotted path, key, settings) of everything whose class is known only by its name."""
    for key in (*NAMED, "budget", "training"):
        if key not in data or key not in cls.model_fields:
            continue
        if isinstance(data[key], list | tuple):
            yield from ((f"{key}.{place}", key, spec) for place, spec in enumerate(data[key]))
        else:
            yield key, key, data[key]


def _settings_faults(path: str, key: str, spec: Any) -> list[Fault]:
    """Faults in the settings of one part; what is wrong before that is found elsewhere."""
    settings = {"name": spec} if isinstance(spec, str) else spec
    if not isinstance(settings, Mapping):
        return []
    settings, name = dict(settings), settings.get("name", "")
    if key in NAMED and not (
        isinstance(name, str) and (":" in name or name in names(FOLDERS.get(key, key)))
    ):
        return []
    try:
        cls = class_of(key, settings)
    except PrunusError as error:
        return [(path, str(error))]
    try:
        cls.model_validate(settings)
    except ValidationError as error:
        return [(f"{path}.{step}".rstrip("."), said) for step, said in faults(cls, error)]
    return []


def settings_in(path: Path) -> dict[str, Any]:
    """What the file of a recipe of any version says, unchecked.

    Raises:
        PrunusError: it is no YAML, no mapping, or a newer prunus wrote it.
    """
    try:
        data = notation.read(path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PrunusError(f"{path} is not YAML: {error}") from None
    if not isinstance(data, dict):
        raise PrunusError(f"{path} holds no keys: a recipe begins like `model: runs/dense`")
    try:
        current = FORMAT.current(data)
    except PrunusError as error:
        raise PrunusError(f"{path}: {error}") from None
    return {key: value for key, value in current.items() if key != KEY}
