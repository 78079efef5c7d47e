"""A row as engines run it; what stands between needs no torch to pass it on."""

import logging
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from prunus.study._row import Row
from prunus.study.engine._task import Files, receive


@dataclass(frozen=True)
class Turn:
    """One row.

    Attributes:
        row: of a sheet.
    """

    row: Row

    @property
    def name(self) -> str:
        """The row's."""
        return self.row.name

    def do(self, out: Path, log: logging.Logger, quiet: bool) -> str:
        """Run it, see :func:`prunus.study._job.carry_out`."""
        from prunus.study._job import carry_out

        return carry_out(self.row, out, log, quiet)

    def take(self, files: Files, out: Path) -> None:
        """Put a run of another machine into the row's folder, whole or not at all.

        Raises:
            PrunusError: a file lies outside of the run's folder, or the row's folder holds the run
                of another recipe.
        """
        from prunus.recipe._parts import parts, resolved
        from prunus.safe import Work
        from prunus.study._job import PATIENCE, is_finished

        folder, recipe = out / self.name, self.row.recipe
        work = Work(folder, resolved(recipe, parts(recipe)), None, recipe.seed, True, PATIENCE)
        with work.alone():
            if is_finished(self.row, out):
                return
            with work.begun() as (fresh, _):
                rmtree(fresh)  # what an attempt here had begun
                fresh.mkdir()
                for path, pieces in files:
                    receive(fresh, str(Path(path).relative_to(self.name)), pieces)
