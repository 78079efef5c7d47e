"""What commands print: tables and lines on standard output, waiting on standard error."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from textwrap import wrap
from typing import Any

from prunus.launched import processes, speaks

PIPED = 120
"""Columns where standard output is no terminal."""
GRACE = 5.0
"""Seconds in which whoever started several processes ends the rest once one has failed."""


def say(*things: Any) -> None:
    """Print lines and rich tables; lines are left as they are."""
    for thing in things if speaks() else ():
        if isinstance(thing, str):
            print(thing)
        else:
            _draw(thing)


def fail(why: str, *, parted: bool) -> None:
    """Say on standard error why a command ends; of processes that share it the first one alone.

    Others speak where the first has not failed.

    Args:
        why: in a sentence.
        parted: because another process ended, which is heard first.
    """
    who = "prunus"
    if parted:
        time.sleep(4 * GRACE)
    if not speaks():
        time.sleep(GRACE)
        who = f"prunus, process {os.environ['RANK']} of {processes()}"
    print(f"{who}: {why}", file=sys.stderr, flush=True)


def lines(title: str, entries: Mapping[str, str]) -> list[str]:
    """A heading and one indented entry a line, wrapped beside the names."""
    wide = max(map(len, entries), default=0) + 4
    found = [title]
    for name, what in entries.items():
        first, *rest = wrap(what, 100 - wide) or [""]
        found.append(f"  {name}".ljust(wide) + first)
        found += [" " * wide + line for line in rest]
    return found


@contextmanager
def waiting(what: str, quiet: bool = False) -> Iterator[None]:
    """A sign of life on standard error, where that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not speaks() or not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def _draw(thing: Any) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED)
    console.print(thing)
