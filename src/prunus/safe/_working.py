"""The folder in which something works until it is done: it outlives a process that is killed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import yaml

from prunus import notation, ranks
from prunus.errors import PrunusError
from prunus.files import clear, replace, sweep, write_bytes
from prunus.formats import KEY
from prunus.held import Held, beside, held
from prunus.safe._points import SafePoints
from prunus.safe._scratch import scratch

RECIPE = "recipe.yaml"
WORK = "run"
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """Something that takes long, and leaves a folder.

    Attributes:
        out: the folder.
        settings: all that decides what is in it.
        every: seconds of work that are lost at most; None keeps nothing.
        seed: of everything that is drawn.
        resume: go on from safe points, if there are any.
        patience: seconds in which another process there may end.
    """

    out: Path
    settings: Settings
    every: float | None
    seed: int
    resume: bool = False
    patience: float = 0.0

    @property
    def folder(self) -> Path:
        """Where everything lies until it is done."""
        return working(self.out)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps others out, and clears what those that were killed left.

        Raises:
            Held: another process is at work there; who that is, is told.
        """
        first = ranks.first()
        told = f"{self.out}: a run is going on there already"
        with held(beside(self.out), told, self.patience) if first else nullcontext():
            if first:
                clear(self.out)
                _tidy(self.out)
            yield

    @contextmanager
    def begun(self) -> Iterator[tuple[Path, SafePoints]]:
        """A folder that becomes ``out`` when the block ends well, and the safe points.

        Raises:
            PrunusError: there are safe points, but of something else, or nobody asked to go on.
        """
        points, work = SafePoints.at(self.folder, self.every, self.seed), self.folder / WORK
        if not ranks.first():
            ranks.by_first(dict)  # which checks and begins
            with scratch(self.out) as own:
                yield own, points
            return
        ranks.by_first(lambda: self._begin(points))
        try:
            yield work, points
        except BaseException:
            if points.told:
                with suppress(OSError):
                    points.flush()
            else:
                points.forget()
            raise
        replace(self.out, work)
        points.forget()

    def _begin(self, points: SafePoints) -> None:
        """Make the folder, or check that it is the one to go on in."""
        if points.told:
            self._require_wanted(points.told)
        else:
            rmtree(self.folder, ignore_errors=True)
        (self.folder / WORK).mkdir(parents=True, exist_ok=True)
        sweep(self.folder / WORK)
        text = yaml.safe_dump(dict(self.settings), sort_keys=False, allow_unicode=True)
        write_bytes(self.folder / RECIPE, text.encode())

    def _require_wanted(self, told: Settings) -> None:
        other = differing(self.folder, self.settings)
        if other:
            raise PrunusError(
                f"{self.folder} holds safe points of another recipe (another {', '.join(other)};"
                f" see {RECIPE} in it); remove that folder, or choose another --out"
            )
        if not self.resume:
            minutes = told["seconds"]["total"] / 60
            raise PrunusError(
                f"{self.folder} holds safe points of this run, which was cut off after"
                f" {minutes:.1f} minutes of work (at: {told['at']}; saved {told['saved']}): go on"
                " from there with --resume, or remove that folder to begin anew"
            )


def working(out: Path) -> Path:
    """Where everything lies that becomes ``out``."""
    return out.with_name(f"{out.name}.checkpoints")


def tidy(out: Path) -> None:
    """Remove the safe points of what was killed once ``out`` was complete; not while one works."""
    if working(out).is_dir():
        with suppress(Held), held(beside(out), str(out)):
            _tidy(out)


def _tidy(out: Path) -> None:
    if not (working(out) / WORK).exists():
        rmtree(working(out), ignore_errors=True)


def differing(folder: Path, settings: Settings) -> list[str]:
    """The keys in which a folder's recipe is another one, but how often it is saved, or tracked by.

    Args:
        folder: with ``recipe.yaml`` in it.
        settings: with every default spelt out.
    """
    there: Settings = notation.read(folder / RECIPE)
    keys = (there.keys() | settings.keys()) - {"save", "track", KEY}
    return sorted(key for key in keys if there.get(key) != settings.get(key))
