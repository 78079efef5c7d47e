"""What stands on a machine of a cluster: it runs tasks there, and gives away what they made."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from prunus.study.engine._process import Worker, end, start
from prunus.study.engine._task import Place, Task

PIECE = 8_000_000
"""Bytes of a file that travel at once."""
LOG = 1_000_000
"""Bytes of a log that travel; its end counts."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task on a machine.

    Attributes:
        why: it failed; empty where it did not.
        lost: its process died.
        files: {path: bytes} of what it made, where that lies there alone.
        log: what it said, where that lies there alone.
    """

    why: str
    lost: bool
    files: dict[str, int] = field(default_factory=dict)
    log: bytes = b""


@dataclass(frozen=True)
class Token:
    """A file of the study's folder, by which a machine can tell that it sees that folder."""

    path: Path
    text: str

    def seen(self) -> bool:
        """Whether the file is here too, in a folder that can be written."""
        try:
            here = self.path.read_text(encoding="utf-8") == self.text
        except OSError:
            return False
        return here and os.access(self.path.parent, os.W_OK)


class Slot:
    """Runs tasks on its machine, one at a time."""

    def __init__(self, place: Place, token: Token, threads: int, preloaded: Sequence[str]) -> None:
        """Tasks are done in ``place`` where that is seen from here, else in a folder apart."""
        self._place, self._threads, self._preloaded = place, threads, preloaded
        self._sees = token.seen()
        self._own: TemporaryDirectory[str] | None = None
        self._worker: Worker | None = None

    def hello(self) -> tuple[str, str]:
        """The machine's name and its version of prunus."""
        return socket.gethostname(), version("prunus")

    def run(self, task: Task) -> Outcome:
        """Run a task to its end."""
        place = self._place if self._sees else self._fresh()
        self._worker = start(task, place, self._threads, self._preloaded)
        why, lost = self._worker.over()
        if self._sees:
            return Outcome(why, lost)
        return Outcome(why, lost, {} if why else _files(place.out), _tail(place.log))

    def piece(self, path: str, begin: int) -> bytes:
        """Part of a file that the last task made."""
        assert self._own is not None
        with (Path(self._own.name) / "out" / path).open("rb") as file:
            file.seek(begin)
            return file.read(PIECE)

    def end(self) -> None:
        """End what runs, and remove what was not fetched."""
        if self._worker is not None:
            end([self._worker])
        if self._own is not None:
            self._own.cleanup()

    def _fresh(self) -> Place:
        """A folder for one task; that of the one before goes."""
        if self._own is not None:
            self._own.cleanup()
        self._own = TemporaryDirectory(prefix="prunus-", ignore_cleanup_errors=True)
        out = Path(self._own.name) / "out"
        out.mkdir()
        return Place(out, Path(self._own.name) / "log", self._place.here)


def _files(folder: Path) -> dict[str, int]:
    """What is to travel: no locks."""
    every = {path.relative_to(folder): path for path in sorted(folder.rglob("*"))}
    return {
        name.as_posix(): path.stat().st_size
        for name, path in every.items()
        if path.is_file() and not name.parts[0].startswith(".")
    }


def _tail(log: Path) -> bytes:
    return log.read_bytes()[-LOG:] if log.is_file() else b""
