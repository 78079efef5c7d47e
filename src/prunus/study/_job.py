"""Runs one row, once."""

import logging
from pathlib import Path

from prunus.errors import PrunusError
from prunus.held import Held
from prunus.recipe._parts import parts, resolved
from prunus.recipe.run import is_done, run
from prunus.safe import differing
from prunus.study._result import REPORT, result
from prunus.study._row import Row

PATIENCE = 60.0
"""Seconds in which the worker of a study that was killed has ended itself."""


def is_finished(row: Row, out: Path) -> bool:
    """Whether a row's folder holds its run.

    Args:
        row: of a sheet.
        out: the study's folder.

    Raises:
        PrunusError: parts of the row do not fit each other, or its folder holds the run of another
            recipe.
    """
    folder, settings = out / row.name, resolved(row.recipe, parts(row.recipe))
    if not (folder / REPORT).is_file() or is_done(folder, settings):
        return (folder / REPORT).is_file()
    other = differing(folder, settings)
    raise PrunusError(
        f"{folder} holds the run of a recipe with another {', '.join(other)}; remove that folder,"
        " rename the row, or choose another --out"
    )


def carry_out(row: Row, out: Path, log: logging.Logger, quiet: bool) -> str:
    """Run a row unless it is finished.

    Args:
        row: of a sheet.
        out: the study's folder.
        log: told of it.
        quiet: show no progress.

    Returns:
        Why it failed; nothing where it did not.

    Raises:
        Held: another process still runs it.
    """
    folder = out / row.name
    try:
        if not is_finished(row, out):
            log.info("%s started", row.name)
            run(row.recipe, folder, quiet, resume=True, patience=PATIENCE)
            log.info("%s finished", row.name)
        result(row, folder)
    except Held:
        raise
    except Exception as error:  # whatever one row raises, the others shall run
        log.exception("%s failed", row.name)
        return reason(error)
    return ""


def reason(error: Exception) -> str:
    """An error as it is told; one that is not prunus's own with its kind."""
    own = isinstance(error, PrunusError)
    return str(error) if own else f"{type(error).__name__}: {error}"
