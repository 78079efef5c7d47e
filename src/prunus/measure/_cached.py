"""Measurements kept on the disk for the machine, the versions and the model that they are of."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunus import files
from prunus.errors import PrunusError
from prunus.files import cache
from prunus.formats import Format
from prunus.notation import read_json

FORMAT = Format("measurement")

Facts = Mapping[str, Any]


def place(facts: Facts, what: str) -> Path:
    """The file of a measurement: $PRUNUS_CACHE (or ~/.cache/prunus) / what / fingerprint.json."""
    return cache(os.environ) / what / f"{_digest(facts)[:32]}.json"


def recall(facts: Facts, what: str) -> Any:
    """What was kept for exactly these facts, or None.

    A file that cannot be read, was changed, or is of other facts counts as none.
    """
    try:
        held = read_json(place(facts, what))
        told = held.pop("sha256", None) if isinstance(held, dict) else None
        whole = told is not None and told == _digest(held)
        held = FORMAT.current(held)
    except PrunusError:
        return None
    return held.get("found") if whole and held.get("facts") == facts else None


def keep(facts: Facts, what: str, found: Any) -> Path:
    """Keep a measurement, a value that JSON can hold; the path of its file is returned.

    Raises:
        PrunusError: the file cannot be written.
    """
    held = {"format": FORMAT.version, "facts": facts, "found": found}
    path = place(facts, what)
    files.keep(path, json.dumps({**held, "sha256": _digest(held)}, indent=1).encode())
    return path


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
