"""A row as engines run it; what stands between needs no torch to pass it on."""

import logging
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from prunus.files import replace
from prunus.study._row import Row
from prunus.study.engine._task import Files, receive

RECEIVED = "received"
"""Where a run of another machine lies until it is whole."""


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
        from prunus.recipe._working import alone, checkpoints_of
        from prunus.study._job import PATIENCE, is_finished

        folder = out / self.name
        with alone(folder, PATIENCE):
            if is_finished(self.row, out):
                return
            fresh = checkpoints_of(folder) / RECEIVED
            rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            for path, pieces in files:
                receive(fresh, str(Path(path).relative_to(self.name)), pieces)
            replace(folder, fresh)
            rmtree(checkpoints_of(folder), ignore_errors=True)
