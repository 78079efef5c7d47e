"""Who is told of what a job does."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Phase = Callable[[str], AbstractContextManager]
Step = Callable[[str, int, int], None]


def untimed(_: str) -> AbstractContextManager:
    """A phase that nobody times."""
    return nullcontext()


def unseen(_what: str, _done: int, _of: int) -> None:
    """A step that nobody watches."""
