"""Folders that must be written to."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation
from prunus.files import cache


def check(here: Installation) -> Iterator[Finding]:
    """Makes a file that is gone at once in each folder, or in the nearest one above it."""
    say = here.environment.get
    home = Path(say("HF_HOME") or Path(say("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    hub = Path(say("HF_HUB_CACHE") or home / "hub")
    data = Path(say("HF_DATASETS_CACHE") or home / "datasets")
    downloads = not here.on("HF_HUB_OFFLINE")
    yield from _tried(cache(here.environment), "measurements are kept", "PRUNUS_CACHE")
    yield from _tried(hub, "models from the hub are kept", "HF_HUB_CACHE", downloads)
    yield from _tried(data, "data from the hub is kept", "HF_DATASETS_CACHE", downloads)
    yield from _output(Path.cwd())


def _tried(folder: Path, what: str, variable: str, fault: bool = True) -> Iterator[Finding]:
    problem = unwritable(folder)
    if problem:
        yield Finding(
            what=f"{folder}, where {what}, cannot be written to: {problem}",
            why="commands that write there stop with an error",
            mend=(f"export {variable}={_instead(variable)}",),
            fault=fault,
        )


def _output(folder: Path) -> Iterator[Finding]:
    problem = unwritable(folder)
    if problem:
        yield Finding(
            what=f"this folder, {folder}, cannot be written to: {problem}",
            why="a run writes to runs/ below it unless it is told otherwise",
            mend=(f"prunus run RECIPE --out {_instead('runs')}",),
            fault=False,
        )


def _instead(name: str) -> Path:
    return Path(tempfile.gettempdir()) / name.lower()


def unwritable(folder: Path) -> str:
    """Why no file can be made in a folder, or below the nearest one above that exists; or ""."""
    try:
        folder = folder.expanduser().absolute()
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except (OSError, RuntimeError) as error:  # expanduser raises the latter where nobody is home
        return getattr(error, "strerror", None) or str(error)
