"""Plug-ins by file name: ``score/fisher.py`` is the criterion ``fisher``, imported on demand."""

import importlib
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from prunus.errors import PrunusError, unknown

HERE = Path(__file__).parent
WORDS = {
    "score": "criterion",
    "recover": "repair",
    "select": "selector",
    "anatomy": "model family",
    "loss": "loss term",
    "networks": "network",
    "adapt": "adaptation",
    "export": "exporter",
    "sparse": "sparse kernel",
    "study/engine": "engine",
}
Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item")


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise PrunusError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
"""A regular expression, checked when settings are read."""


class Part(BaseModel):
    """A method's settings and its code: frozen, unknown keys forbidden, one class a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def listed(value: Any) -> Any:
    """One entry as a list of it; anything else as it is."""
    return [value] if isinstance(value, str | int | Mapping | Part) else value


Many = Annotated[tuple[Item, ...], BeforeValidator(listed)]
"""Entries, of which a single one need not stand in a list."""


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
        return _outside(name)
    return getattr(load(folder, name), camel(name))


def camel(name: str) -> str:
    """A file's name as classes are called: ``least_squares`` is ``LeastSquares``."""
    return "".join(word.capitalize() for word in name.split("_"))


def load(folder: str, name: str) -> ModuleType:
    """The module ``name`` of ``folder``.

    Raises:
        PrunusError: there is no such file; the nearest known names are told.
    """
    require(folder, name)
    return importlib.import_module(f"prunus.{folder.replace('/', '.')}.{name}")


def require(folder: str, name: str) -> None:
    """Check, importing nothing, that ``folder`` offers ``name``; outsiders' names pass.

    Raises:
        PrunusError: it does not; the nearest known names are told.
    """
    if ":" not in name and name not in names(folder):
        raise unknown(WORDS.get(folder, folder), name, names(folder))


def _outside(name: str) -> type[Part]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module may raise anything as it is imported
        raise PrunusError(f"{name!r}: {error}; the form is package.module:Class") from None
    if not (isinstance(found, type) and issubclass(found, Part)):
        raise PrunusError(f"{name!r} is not a class derived from prunus.registry.Part")
    return found


def build(folder: str, spec: "str | Mapping[str, Any] | Part") -> Any:
    """A part from its name, or from a mapping with ``name`` and settings.

    Raises:
        PrunusError: the name is unknown, a setting is unknown or out of range.

    >>> build("score", {"name": "fisher", "per": "batch"})
    Fisher(normalize='none', per='batch')
    """
    if isinstance(spec, Part):
        return spec
    settings = {"name": spec} if isinstance(spec, str) else spec
    if not isinstance(settings, Mapping) or not isinstance(settings.get("name"), str):
        raise PrunusError(
            f"{folder}: expected a name, or a mapping with the key 'name'; got {spec!r}"
        )
    settings = dict(settings)
    name = settings.pop("name")
    return parse(find(folder, name), f"{folder.rpartition('/')[2]} {name!r}", settings)


def named(folder: str) -> BeforeValidator:
    """Accepts a part's name, or a mapping with ``name`` and settings; gives the mapping."""
    return BeforeValidator(partial(spec_of, folder))


def spec_of(folder: str, value: Any) -> Any:
    """A part's name, or a mapping with ``name`` and settings, as such a mapping; None as it is.

    Raises:
        PrunusError: it is neither, or ``folder`` offers nothing of that name.
    """
    spec = {"name": value} if isinstance(value, str) else value
    if spec is None:
        return None
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise PrunusError(f"expected a name, or a mapping with the key 'name'; got {value!r}")
    require(folder, spec["name"])
    return dict(spec)


def spelt(part: Part) -> dict[str, Any]:
    """A part as people write it: its name and all its settings."""
    module, name = type(part).__module__, type(part).__qualname__
    ours = re.fullmatch(r"prunus\.\w+\.(\w+)", module)
    name = ours[1] if ours else f"{module}:{name}"
    return {"name": name, **part.model_dump(mode="json", exclude_none=True)}


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
    lines = [": ".join(filter(None, (where, *fault))) for fault in faults(cls, error)]
    return PrunusError("\n".join(lines))


def faults(cls: type[BaseModel], error: ValidationError) -> list[tuple[str, str]]:
    """(dotted path, message) of every fault that pydantic found in settings of ``cls``."""
    found = []
    for fault in error.errors():
        *above, last = steps = [str(step) for step in fault["loc"]] or [""]
        if fault["type"] == "extra_forbidden":
            message = str(unknown("key", last, _inside(cls, above).model_fields))
        elif fault["type"] == "value_error":
            message = str(fault.get("ctx", {}).get("error", fault["msg"]))
        elif fault["type"] == "missing":
            message = "this key is required"
        else:
            message = f"{fault['msg']} (got {fault['input']!r})"
        found.append((".".join(steps), message))
    return found


def _inside(cls: type[BaseModel], steps: list[str]) -> type[BaseModel]:
    """The model that the fields ``steps`` lead to."""
    for step in steps:
        if step in cls.model_fields:
            cls = _model_of(cls.model_fields[step].annotation) or cls
    return cls


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_of, get_args(annotation))), None)
