"""What engines run: it has a name, is done in a folder, and says why it failed."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prunus.errors import PrunusError

Files = Iterable[tuple[str, Iterable[bytes]]]
"""(path below a folder, its content in pieces) of files."""


class Task(Protocol):
    """Something to be done once, in a process of its own, maybe on another machine."""

    @property
    def name(self) -> str:
        """What it is called; no two have the same name."""
        ...

    def do(self, out: Path, log: logging.Logger, quiet: bool) -> str:
        """Do it, unless it is done already.

        Args:
            out: the folder to write into.
            log: told of it.
            quiet: show no progress.

        Returns:
            Why it failed; nothing where it did not.

        Raises:
            Held: another process still does it; it is tried again.
        """
        ...

    def take(self, files: Files, out: Path) -> None:
        """Put what was made in a folder of another machine into ``out``, unless it is there.

        Args:
            files: below the folder in which it was done there.
            out: where they shall be.
        """
        ...


@dataclass(frozen=True)
class Place:
    """Where tasks are done.

    Attributes:
        out: the folder to write into.
        log: a file for what they say, and for whatever they print.
        here: the folder from which relative paths go.
    """

    out: Path
    log: Path
    here: Path


def inside(folder: Path, name: str) -> Path:
    """The path of what has a name in a folder.

    Raises:
        PrunusError: the name leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PrunusError(f"{name} lies outside of {folder}")
    return path


def receive(folder: Path, name: str, pieces: Iterable[bytes]) -> None:
    """Write a file that came from elsewhere.

    Args:
        folder: in which it belongs.
        name: its path in there.
        pieces: its content.

    Raises:
        PrunusError: the path leads out of the folder.
    """
    path = inside(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(pieces)
