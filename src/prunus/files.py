"""Files are written beside and renamed: a reader sees the old one or the new one, never a half."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prunus.errors import PrunusError
from prunus.held import beside, held

RANDOM = 4
"""Bytes by which the names of fresh files differ."""
OLD = ".old"
"""The ending of what makes way for a fresh folder."""
FRESH = re.compile(rf"\.(.+)\.[0-9a-f]{{{2 * RANDOM}}}({OLD})?")


def cache(environment: Mapping[str, str]) -> Path:
    """Where measurements are kept: $PRUNUS_CACHE, or ~/.cache/prunus."""
    return Path(environment.get("PRUNUS_CACHE") or "~/.cache/prunus").expanduser()


def keep(path: Path, data: bytes) -> None:
    """Write a file into the cache.

    Raises:
        PrunusError: it cannot be written.
    """
    try:
        write_bytes(path, data)
    except OSError as error:
        raise PrunusError(
            f"{path} cannot be written ({error.strerror}); set PRUNUS_CACHE to a folder that can"
        ) from None


def read_bytes(path: Path, most: int) -> bytes:
    """All of a file that may come from anywhere.

    Raises:
        PrunusError: it is no file, cannot be read, or is larger than ``most`` bytes.
    """
    try:
        if not path.is_file():
            raise PrunusError(f"{path} is no file")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, PrunusError):
            raise
        raise PrunusError(f"{path} cannot be read ({error})") from None
    if len(data) > most:
        raise PrunusError(f"{path} is larger than {most:,} bytes, which is no such file")
    return data


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that ``path`` holds the old content or all of the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = _beside(path)
    try:
        with fresh.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of ``path`` when the block ends well, and goes when not.

    An existing folder at ``path`` is replaced as a whole, and stays as it was on any failure. What
    was left by writers that were killed goes.

    Raises:
        Held: another process is writing there.
    """
    path = path.absolute()
    with held(beside(path), f"{path}: another process is writing there already"):
        clear(path)
        fresh = _beside(path)
        try:
            fresh.mkdir(parents=True)
            yield fresh
            replace(path, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def replace(path: Path, fresh: Path) -> None:
    """Put a folder in the place of ``path``, once all that is in it is on the disk."""
    for file in fresh.rglob("*"):
        if file.is_file():
            sync(file)
    _swap(fresh, path.absolute())


def clear(path: Path) -> None:
    """Remove what was being written in the place of ``path`` when its writer was killed.

    Nobody may be writing there. What had just made way for it comes back.
    """
    path = path.absolute()
    for fresh in path.parent.iterdir() if path.parent.is_dir() else ():
        if meant(fresh) != path.name:
            continue
        if fresh.suffix == OLD and not path.exists():
            fresh.rename(path)
        elif fresh.is_dir():
            shutil.rmtree(fresh, ignore_errors=True)
        else:
            fresh.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what was being written in a folder by those that were killed.

    Nobody may be writing there.
    """
    for name in {meant(fresh) for fresh in folder.iterdir()}:
        if name is not None:
            clear(folder / name)


def meant(fresh: Path) -> str | None:
    """The name of what is being written in a fresh file or folder, or None where it is no such."""
    found = FRESH.fullmatch(fresh.name)
    return found and found[1]


def sync(path: Path) -> None:
    """Push a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path: Path) -> Path:
    """A name that is free, in the same folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(RANDOM)}")


def _swap(fresh: Path, path: Path) -> None:
    old = _beside(path)
    old = old.with_name(f"{old.name}{OLD}")
    try:
        if path.exists():
            path.rename(old)
        fresh.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
    sync(path.parent)
