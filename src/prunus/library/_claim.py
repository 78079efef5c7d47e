"""Who tunes a module holds the lock beside its entry; the system frees those of the killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from prunus.errors import PrunusError

LOCK = ".lock"


@contextmanager
def claim(entry: Path) -> Iterator[bool]:
    """Holds an entry; False where somebody else does, which is not waited for.

    Raises:
        PrunusError: the folder cannot be written.
    """
    path = entry.with_suffix(LOCK)
    lock = FileLock(path)
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise unwritable(entry, error) from None
    try:
        yield True
    finally:
        path.unlink(missing_ok=True)  # a lock without a name counts for nobody who waited for it
        lock.release()


def unwritable(entry: Path, error: OSError) -> PrunusError:
    """The error of a folder that cannot be written."""
    return PrunusError(
        f"the library {entry.parents[1]} cannot be written ({error.strerror}: {entry.name}); name"
        " another folder (drive.folder, PRUNUS_LIBRARY), or mend its permissions or space"
    )
