"""Runs that are killed, in processes that begin as copies of one that has imported everything."""

import multiprocessing as mp
import os
import signal
from collections.abc import Callable
from pathlib import Path

from prunus.recipe import read, read_training
from prunus.recipe.run import run
from prunus.recipe.train import train
from prunus.safe import SafePoints

CONTEXT = mp.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.recipes.kills", "tests.study.quick"])
"""The second is for these processes alone: it changes what they do."""
LONG = 60


def pruned(recipe: Path, out: Path, *changes: str) -> None:
    """Run a recipe."""
    run(read(recipe, changes), out, quiet=True, resume=True)


def trained(recipe: Path, out: Path, *changes: str) -> None:
    """Fine-tune by a recipe."""
    train(read_training(recipe, changes), out, quiet=True, resume=True)


def attempt(after: int, do: Callable[..., None], *given: object) -> int:
    """Do something in a process that kills itself when so many safe points are written.

    Returns:
        The process's exit code.
    """
    process = CONTEXT.Process(target=_killed, args=(after, do, *given))
    process.start()
    process.join(LONG)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def _killed(after: int, do: Callable[..., None], *given: object) -> None:
    flush, written = SafePoints.flush, [0]

    def counted(self: SafePoints) -> None:
        flush(self)
        written[0] += 1
        if written[0] == after:
            os.kill(os.getpid(), signal.SIGKILL)

    SafePoints.flush = counted
    do(*given)
