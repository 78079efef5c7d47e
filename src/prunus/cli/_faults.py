"""What the command line says of errors that are no answer to bad input."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prunus.errors import PrunusError


def told(error: Exception) -> str:
    """An error in one line; several only where prunus told several faults."""
    if isinstance(error, PrunusError):
        return str(error)
    said = " ".join(str(error).split())[:300]
    if isinstance(error, OSError):
        return said
    if isinstance(error, MemoryError):
        return "there is not enough memory for this: take a smaller batch, or a machine with more"
    if isinstance(error, RecursionError):
        return "the input is nested too deeply"
    return (
        f"{type(error).__name__}: {said}: this is a fault of prunus, please report it; --debug"
        " shows where"
    )


@contextmanager
def unheard() -> Iterator[None]:
    """Lets a reader of the output go away, as ``head`` does: nothing more is written, or said."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the last flush, at exit
