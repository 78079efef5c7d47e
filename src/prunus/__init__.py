"""prunus: pretrained networks, pruned for real.

``prune`` does it all, ``gradual`` prunes in a training; step by step: ``prunus.anatomy.anatomy``,
``prunus.score.score``, ``prunus.select.select``, ``mask``, ``shrink``, ``save``, ``load``.
"""

import importlib
from typing import Any

from prunus import auto

_HOME = {
    "Budget": "select",
    "Plan": "plan",
    "PrunusError": "errors",
    "Site": "site",
    "Slice": "site",
    "gradual": "recipe.gradual",
    "load": "checkpoint",
    "mask": "edit",
    "prune": "drive",
    "remove_dead": "drive",
    "save": "checkpoint",
    "shrink": "drive",
    "trim_vocabulary": "vocabulary",
}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """The public names, imported on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'prunus' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"prunus.{_HOME[name]}"), name)
    globals()[name] = value
    return value


auto.install()
