"""Fills a library of tuned modules in many processes: each tunes a share of what is missing."""

import logging
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.recipe import Recipe
from prunus.study._board import Board
from prunus.study.engine import Engine, Place
from prunus.study.engine._task import Files, inside

if TYPE_CHECKING:
    from prunus.report._library import Library

LOG = "tune.log"


@dataclass(frozen=True)
class Share:
    """Some modules of a recipe, which one process tunes together.

    Attributes:
        number: of the share, from 1.
        recipe: with drive: library.
        modules: their names.
    """

    number: int
    recipe: Recipe
    modules: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called."""
        return f"share-{self.number}"

    def do(self, out: Path, log: logging.Logger, quiet: bool) -> str:
        """Tune those that the library ``out`` lacks; why that failed."""
        from prunus.recipe.library import tune
        from prunus.study._job import reason

        drive = {**self.recipe.drive, "folder": str(out)}
        try:
            log.info("%s started: %s", self.name, ", ".join(self.modules))
            tune(self.recipe.model_copy(update={"drive": drive}), quiet, self.modules)
            log.info("%s finished", self.name)
        except Exception as error:  # the other shares shall be tuned all the same
            log.exception("%s failed", self.name)
            return reason(error)
        return ""

    def take(self, files: Files, out: Path) -> None:
        """Put modules that were tuned on another machine into the library."""
        for path, pieces in files:
            if not (out / path).is_file():
                write_bytes(inside(out, path), b"".join(pieces))


def tune_apart(recipe: Recipe, engine: Engine, quiet: bool = False) -> "Library":
    """Put every module that a recipe names into its library, by many processes.

    Args:
        recipe: with drive: library.
        engine: where they run.
        quiet: show no progress.

    Raises:
        PrunusError: shares that failed, and why; their log is ``tune.log`` in the library's folder;
            or see :func:`prunus.recipe.library.tune`.
    """
    from prunus.recipe.library import missing, tune

    folder, names = missing(recipe, quiet)
    if not names:
        return tune(recipe, quiet)
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    count = min(engine.width(), len(names))
    shares = [Share(own + 1, recipe, tuple(names[own::count])) for own in range(count)]
    place = Place(folder, folder / LOG, Path.cwd())
    failed = dict[str, str]()
    with (
        Board(count, quiet, engine.live, "shares") as board,
        closing(engine.events(shares, place, quiet)) as events,
    ):
        for event in events:
            board.show(event)
            if event.ended and event.why:
                failed[event.task.name] = event.why
    if failed:
        told = "\n".join(f"{name}: {why}" for name, why in failed.items())
        raise PrunusError(f"{len(failed)} of {count} shares of the modules failed:\n{told}")
    found = tune(recipe, quiet)
    note = f"{len(names)} of them were tuned just now, in {count} shares; see {folder / LOG}"
    return found.model_copy(update={"notes": (*found.notes, note)})
