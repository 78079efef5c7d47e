"""A file that says which models a library is for; whether it was edited since can be told."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.formats import Format
from prunus.library import sha256
from prunus.notation import read_json

FORMAT = Format("scheme", unsaid=1)


def write(path: Path, every: Sequence[Mapping[str, float]]) -> None:
    """Write configurations, the modules that they have, and the hash of both.

    Args:
        path: of the file.
        every: {site: density} of each.
    """
    said = {
        "format": FORMAT.version,
        "configurations": [dict(own) for own in every],
        "modules": _modules(every),
    }
    write_bytes(path, json.dumps(said | {"seal": sha256(said)}, indent=1).encode())


def read(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The configurations in a file, unchecked, and what is to be said of it.

    Args:
        path: a scheme, or a JSON list of configurations.

    Raises:
        PrunusError: it cannot be read, or it was edited so that its modules are not those of its
            configurations.
    """
    try:
        said = read_json(path)
        if not isinstance(said, dict):
            return said, ()
        FORMAT.current(said)
    except PrunusError as error:
        raise PrunusError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    every, seal = said.get("configurations"), said.pop("seal", None)
    if seal == sha256(said):
        return every, ()
    _require_same(path, said.get("modules"), every)
    return every, (f"{path} was edited since it was written: its configurations count as they are",)


def _modules(every: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """{site: its densities in all configurations}; whole sites are no modules."""
    found: dict[str, set[float]] = {}
    for own in every:
        for site, density in own.items():
            if density != 1:
                found.setdefault(site, set()).add(density)
    return {site: sorted(densities) for site, densities in found.items()}


def _require_same(path: Path, told: Any, every: Any) -> None:
    """Check that a scheme that was edited still says one thing."""
    if told is None:
        return
    try:
        meant = _modules(every)
        stated = {site: sorted({d for d in own if d != 1}) for site, own in told.items()}
    except (AttributeError, TypeError):
        raise PrunusError(
            f"{path}: no scheme; expected a list of {{site: density}} under"
            " configurations, and {site: [densities]} under modules"
        ) from None
    for site in (*meant, *stated):
        ours, theirs = meant.get(site, []), stated.get(site, [])
        if ours != theirs:
            raise PrunusError(
                f"configurations: {path} was edited since it was written, and contradicts itself:"
                f" its configurations have {site} at {_listed(ours)}, its modules at"
                f" {_listed(theirs)}; say the same in both, or leave modules out"
            )


def _listed(densities: list[float]) -> str:
    return ", ".join(f"{own:g}" for own in densities) or "no density"
