"""The folder in which a run works until it is done: it outlives a run that is cut off."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

import yaml

from prunus import ranks
from prunus.errors import PrunusError
from prunus.files import clear, replace, write_bytes
from prunus.held import beside, held
from prunus.recipe._model import Recipe, Settings
from prunus.recipe._open import REPORT
from prunus.recipe._place import scratch
from prunus.report import _units as show
from prunus.safe import SafePoints

RECIPE = "recipe.yaml"
WORK = "run"


def checkpoints_of(out: Path) -> Path:
    """Where work that is cut off is kept until it is done."""
    return out.with_name(f"{out.name}.checkpoints")


@contextmanager
def alone(out: Path, patience: float = 0.0) -> Iterator[None]:
    """Keeps other runs out of a folder, and clears what those that were killed left beside it.

    Args:
        out: the run's folder.
        patience: seconds in which another run there may end.

    Raises:
        Held: another run is going on there; who runs it, is told.
    """
    first = ranks.first()
    lock = held(beside(out), f"{out}: a run is going on there already", patience)
    with lock if first else nullcontext():
        if first:
            clear(out)
        yield


@contextmanager
def working(
    out: Path, recipe: Recipe, settings: Settings, resume: bool
) -> Iterator[tuple[Path, SafePoints]]:
    """A folder for a run's files, which becomes ``out`` when the block ends well.

    Args:
        out: nobody else works there.
        recipe: how often safe points are written.
        settings: the recipe with every default spelt out, as safe points know it.
        resume: go on from safe points, if there are any.

    Yields:
        The folder, and the safe points.

    Raises:
        PrunusError: there are safe points, but of another recipe, or nobody asked to go on.
    """
    folder = checkpoints_of(out)
    every = None if recipe.save is None else 60 * recipe.save.minutes
    points = SafePoints.at(folder, every, recipe.seed)
    if not ranks.first():
        ranks.by_first(dict)  # which checks and begins
        with scratch(out) as own:
            yield own, points
        return
    ranks.by_first(lambda: _begin(folder, settings, points, resume))
    try:
        yield folder / WORK, points
    except BaseException:
        if points.told:
            with suppress(OSError):
                points.flush()
        else:
            points.forget()
        raise
    replace(out, folder / WORK)
    points.forget()


def _begin(folder: Path, settings: Settings, points: SafePoints, resume: bool) -> None:
    """Make the folder, or check that it is the one to go on in."""
    if points.told:
        _require_wanted(folder, settings, points.told, resume)
    else:
        rmtree(folder, ignore_errors=True)
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    for place in (folder, folder / WORK):
        write_bytes(place / RECIPE, text.encode())


def _require_wanted(
    folder: Path, settings: Settings, told: Mapping[str, Any], resume: bool
) -> None:
    other = differing(folder, settings)
    if other:
        raise PrunusError(
            f"{folder} holds safe points of another recipe (another {', '.join(other)}; see"
            f" {RECIPE} in it); remove that folder, or choose another --out"
        )
    if not resume:
        raise PrunusError(
            f"{folder} holds safe points of this run, which was cut off {_far(told)}: go on from"
            " there with --resume, or remove that folder to begin anew"
        )


def _far(told: Mapping[str, Any]) -> str:
    """How far a run was."""
    spent = show.duration(told["seconds"]["total"])
    return f"after {spent} (at: {told['at']}; saved {told['saved']})"


def is_done(out: Path, settings: Settings) -> bool:
    """Whether a folder holds the finished run of a recipe.

    Args:
        out: the folder.
        settings: the recipe with every default spelt out.
    """
    return (out / REPORT).is_file() and not differing(out, settings)


def differing(folder: Path, settings: Settings) -> list[str]:
    """The keys in which a folder's recipe is another one; how often it is saved does not count.

    Args:
        folder: with ``recipe.yaml`` in it.
        settings: with every default spelt out.
    """
    there: Settings = yaml.safe_load((folder / RECIPE).read_text(encoding="utf-8"))
    keys = (there.keys() | settings.keys()) - {"save"}
    return sorted(key for key in keys if there.get(key) != settings.get(key))
