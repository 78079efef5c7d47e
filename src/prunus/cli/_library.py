"""The commands that look after a library of tuned modules."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from prunus.cli._print import say, waiting
from prunus.errors import PrunusError

if TYPE_CHECKING:
    from prunus.library import Library

library = App(name="library", help="Look after a library of tuned modules.")


@library.command(name="ls")
def listing(*, folder: Path | None = None) -> None:
    """List the modules of a library: how good each is, how large, and when it was last used.

    Args:
        folder: the library; $PRUNUS_LIBRARY or ~/.cache/prunus/library where left out.
    """
    with waiting("looking"):
        from prunus.cli._modules import listed

        shelf = _open(folder)
        found = list(listed(shelf))
    say(*found)


@library.command
def show(digest: str, /, *, folder: Path | None = None) -> None:
    """Show what one module of a library depends on, and what was measured of it.

    Args:
        digest: how its digest begins, as ls shows it.
        folder: the library; $PRUNUS_LIBRARY or ~/.cache/prunus/library where left out.
    """
    with waiting("looking"):
        from prunus.cli._modules import described

        found = list(described(_open(folder).entry(digest)))
    say(*found)


@library.command
def gc(
    *,
    unused: Annotated[float | None, Parameter(validator=Number(gte=0))] = None,
    dry_run: bool = False,
    folder: Path | None = None,
) -> None:
    """Remove what is broken or was left half-written, and what was not used for long.

    Every module is read. What another process is tuning stays.

    Args:
        unused: days; modules that were not used for longer go, too.
        dry_run: only say what would go.
        folder: the library; $PRUNUS_LIBRARY or ~/.cache/prunus/library where left out.
    """
    with waiting("reading every module"):
        from prunus.library import gc as collect
        from prunus.report._units import scaled

        found = collect(_open(folder), unused, dry_run)
    verb, size = "would go" if dry_run else "removed", sum(one.bytes for one in found)
    say(*(f"{one.path}: {one.why}" for one in found))
    say(f"{verb}: {len(found)} file{'s' * (len(found) != 1)}, {scaled(size, 'B')}")


def _open(folder: Path | None) -> "Library":
    from prunus.library import Library, place

    folder = folder or place(os.environ)
    if not folder.is_dir():
        raise PrunusError(
            f"there is no library in {folder}: a run with drive: library makes one; --folder or"
            " PRUNUS_LIBRARY name another"
        )
    return Library(folder)
