"""Settings from the command line, put over those of the file."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from prunus.errors import PrunusError, unknown
from prunus.notation import load
from prunus.recipe._fault import SettingsError

NAMED = ("task", "score", "drive", "recover", "adapt", "losses", "export")
AMOUNTS: dict[str, dict[str, str | None]] = {
    "speedup": {"metric": "latency", "of": None},
    "max_bytes": {"metric": None, "of": None, "at": None},
    "max_loss": {},
}
"""Amounts of the command line, and the keys of a budget that they set or leave to it."""


def override(
    cls: type[BaseModel], data: Mapping[str, Any], changes: Sequence[str]
) -> dict[str, Any]:
    """``data`` with changes put in, unchecked but for their form.

    Args:
        cls: the kind of recipe, for the values of keys that ``data`` leaves out.
        data: what the file says.
        changes: ``key.sub=value``; a step that is a number counts in a list, from 0.

    Raises:
        PrunusError: a change without ``=``, with a value that is no YAML, or below something that
            has no keys; of the latter, :class:`SettingsError`.
    """
    changed = copy.deepcopy(dict(data))
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not all(path.split(".")):
            raise PrunusError(f"{change!r} is no setting; write key=value or key.sub=value")
        try:
            value = load(text)
        except yaml.YAMLError as error:
            raise PrunusError(f"{change!r}: the value is no YAML: {error}") from None
        try:
            _put(cls, changed, path, value)
        except PrunusError as error:
            raise SettingsError(str(error), [(path, str(error))]) from None
    return changed


def _put(cls: type[BaseModel], data: dict[str, Any], path: str, value: Any) -> None:
    first, *steps = path.split(".")
    if not steps:
        data[first] = value
        return
    if first not in cls.model_fields:
        raise unknown("key", first, cls.model_fields, f"(in {path}=...)")
    if data.get(first) is None:
        data[first] = _default(cls, first)
    node: Any = data
    for step, deeper in zip([first, *steps[:-1]], steps, strict=True):
        node = _enter(node, step, first in NAMED and not deeper.isdigit(), path)
    node[_key(node, steps[-1], path)] = value


def _enter(node: Any, step: str, named: bool, path: str) -> Any:
    """What lies under ``step``, made a mapping where it is nothing yet, or a part's bare name."""
    key = _key(node, step, path)
    below = node[key] if isinstance(node, list) else node.get(key)
    if below is None:
        below = {}
    elif named and isinstance(below, str):
        below = {"name": below}
    if not isinstance(below, dict | list):
        raise PrunusError(f"{path}=...: {step} is {below!r}, which has no keys")
    node[key] = below
    return below


def _key(node: Any, step: str, path: str) -> Any:
    if isinstance(node, dict):
        return step
    if not step.isdigit() or int(step) >= len(node):
        raise PrunusError(f"{path}=...: {step!r} is no place in a list of {len(node)} (from 0)")
    return int(step)


def _default(cls: type[BaseModel], key: str) -> Any:
    """What a recipe that leaves ``key`` out has there, as YAML would say it."""
    field = cls.model_fields[key]
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return {}
    return list(value) if isinstance(value, tuple) else value


def ask(data: Mapping[str, Any], amounts: Mapping[str, Any]) -> dict[str, Any]:
    """``data`` with another amount in its budget, in the place of its own.

    Floors, ceilings and rules stay. A speed-up is one of latency, and a size one of parameters,
    whatever the budget counted; a loss is bounded in the budget's own metric.

    Args:
        data: what a recipe says.
        amounts: ``max_loss``, ``speedup`` or ``max_bytes`` with its value.
    """
    budget = data.get("budget") or {}
    if not amounts or not isinstance(budget, Mapping):
        return dict(data)
    gone = {"density", *AMOUNTS}
    for word in amounts:
        gone |= AMOUNTS[word].keys()
    also = {key: value for word in amounts for key, value in AMOUNTS[word].items() if value}
    kept = {key: value for key, value in budget.items() if key not in gone}
    return {**data, "budget": {**kept, **also, **amounts}}
