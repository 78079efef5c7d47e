"""Files are written beside and renamed: a reader sees the old one or the new one, never a half."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that ``path`` holds the old content or all of the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of ``path`` when the block ends well, and goes when not.

    An existing folder at ``path`` is replaced as a whole, and stays as it was on any failure.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield fresh
        for file in fresh.rglob("*"):
            if file.is_file():
                sync(file)
        _swap(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def sync(path: Path) -> None:
    """Push a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _swap(fresh: Path, path: Path) -> None:
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        if path.exists():
            path.rename(old / "old")
        fresh.chmod(0o755)
        fresh.rename(path)
    except BaseException:
        if (old / "old").exists() and not path.exists():
            (old / "old").rename(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
    sync(path.parent)
