"""Removing from a library what nobody can use, or has used for long."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from prunus.errors import PrunusError
from prunus.files import meant
from prunus.library._claim import LOCK, claim, unwritable
from prunus.library._library import NAME, SUFFIX, Library
from prunus.library._module import decode

DAY = 86400.0
WRITING = 3600.0
"""Seconds after which a file that is still being written was left by a writer that was killed."""


@dataclass(frozen=True)
class Removal:
    """A file that was removed, or would be.

    Attributes:
        path: of the file.
        why: what was wrong with it.
        bytes: its size.
    """

    path: Path
    why: str
    bytes: int


def gc(library: Library, unused: float | None = None, dry: bool = False) -> list[Removal]:
    """Remove entries that are broken or of another format, and what killed processes left.

    What somebody is tuning now is left alone, and so are files that are not the library's.

    Args:
        library: every entry of it is read.
        unused: days; entries that were not found for longer go, too.
        dry: remove nothing, only say what would be.

    Returns:
        What was removed, the free locks of killed processes left out.

    Raises:
        PrunusError: a file cannot be removed.
    """
    removed = [*_entries(library, unused, dry), *_unfinished(library, dry)]
    if not dry:
        _unlock(library)
    return removed


def _entries(library: Library, unused: float | None, dry: bool) -> Iterator[Removal]:
    for path in library.paths():
        if not _why(path, unused):
            continue
        with nullcontext(True) if dry else claim(path) as mine:
            why = _why(path, unused)  # it may have been made anew meanwhile
            if mine and why:
                yield _remove(path, why, dry)


def _why(path: Path, unused: float | None) -> str:
    """Why an entry goes; "" where it stays, or is gone."""
    try:
        idle = (time.time() - path.stat().st_mtime) / DAY
        if unused is not None and idle > unused:
            return f"not used for {idle:.1f} days"
        decode(path.read_bytes(), path.stem)
    except PrunusError as error:
        return str(error)
    except OSError:  # gone, or not ours to read
        pass
    return ""


def _unfinished(library: Library, dry: bool) -> Iterator[Removal]:
    for path in sorted(library.folder.glob("??/.*")):
        if NAME.fullmatch(meant(path) or "") and _age(path) > WRITING:
            yield _remove(path, "never written to its end", dry)


def _unlock(library: Library) -> None:
    """Remove the locks that nobody holds."""
    for lock in library.folder.glob(f"??/*{LOCK}"):
        entry = lock.with_suffix(SUFFIX)
        if NAME.fullmatch(entry.name):
            with claim(entry):  # who holds it removes it in the end
                pass


def _age(path: Path) -> float:
    """Seconds since a file was written to; 0 where it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(path: Path, why: str, dry: bool) -> Removal:
    try:
        found = Removal(path, why, path.stat().st_size)
        if not dry:
            path.unlink()
    except OSError as error:
        raise unwritable(path, error) from None
    return found
