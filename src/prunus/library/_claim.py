"""Who tunes a module holds the lock beside its entry."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prunus.errors import PrunusError
from prunus.held import Held, held

LOCK = ".lock"


@contextmanager
def claim(entry: Path) -> Iterator[bool]:
    """Holds an entry; False where somebody else does, which is not waited for.

    Raises:
        PrunusError: the folder cannot be written.
    """
    with ExitStack() as holding:
        try:
            holding.enter_context(
                held(entry.with_suffix(LOCK), f"{entry}: somebody is tuning it already")
            )
            mine = True
        except Held:
            mine = False
        except OSError as error:
            raise unwritable(entry, error) from None
        yield mine


def unwritable(entry: Path, error: OSError) -> PrunusError:
    """The error of a folder that cannot be written."""
    return PrunusError(
        f"the library {entry.parents[1]} cannot be written ({error.strerror}: {entry.name}); name"
        " another folder (drive.folder, PRUNUS_LIBRARY), or mend its permissions or space"
    )
