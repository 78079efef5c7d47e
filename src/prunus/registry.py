"""Plug-ins by file name: ``score/fisher.py`` is the criterion ``fisher``, imported on demand."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from prunus.errors import PrunusError, unknown

HERE = Path(__file__).parent
Model = TypeVar("Model", bound=BaseModel)


class Part(BaseModel):
    """A method's settings and its code: frozen, unknown keys forbidden, one class a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def names(folder: str) -> list[str]:
    """The names that ``folder`` offers, read off its files; helpers are called ``_name.py``."""
    return sorted(path.stem for path in (HERE / folder).glob("[a-z]*.py"))


def find(folder: str, name: str) -> type[Part]:
    """The class called ``name`` in ``folder``: ``least_squares`` is ``LeastSquares``.

    Args:
        folder: a folder of the package, such as ``"score"``.
        name: a file name in it, or ``package.module:Class`` for a class from elsewhere.

    Raises:
        PrunusError: nothing has that name; the nearest known names are told.
    """
    if ":" in name:
        module, _, attribute = name.partition(":")
        return getattr(importlib.import_module(module), attribute)
    camel = "".join(word.capitalize() for word in name.split("_"))
    return getattr(load(folder, name), camel)


def load(folder: str, name: str) -> ModuleType:
    """The module ``name`` of ``folder``.

    Raises:
        PrunusError: there is no such file; the nearest known names are told.
    """
    if name not in names(folder):
        raise unknown(folder, name, names(folder))
    return importlib.import_module(f"prunus.{folder}.{name}")


def build(folder: str, spec: "str | Mapping[str, Any] | Part") -> Any:
    """A part from its name, or from a mapping with ``name`` and settings.

    Raises:
        PrunusError: the name is unknown, a setting is unknown or out of range.
    """
    if isinstance(spec, Part):
        return spec
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    if "name" not in settings:
        raise PrunusError(f"{folder}: a mapping needs the key 'name', got {sorted(settings)}")
    name = settings.pop("name")
    return parse(find(folder, name), f"{folder} {name!r}", settings)


def parse(cls: type[Model], where: str, settings: Mapping[str, Any]) -> Model:
    """An instance of ``cls``, with every fault of the settings told at once.

    Raises:
        PrunusError: a setting is unknown, missing or out of range.
    """
    try:
        return cls.model_validate(dict(settings))
    except ValidationError as error:
        raise explain(where, cls, error) from None


def explain(where: str, cls: type[BaseModel], error: ValidationError) -> PrunusError:
    """Every fault that pydantic found, one a line, unknown keys with the nearest known ones."""
    faults = []
    for fault in error.errors():
        path = ".".join(str(step) for step in fault["loc"]) or where
        if fault["type"] == "extra_forbidden":
            key = str(fault["loc"][-1])
            faults.append(f"{where}: {unknown('key', key, cls.model_fields)}")
        else:
            faults.append(f"{where}: {path}: {fault['msg']} (got {fault['input']!r})")
    return PrunusError("\n".join(faults))
