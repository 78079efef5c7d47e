"""What a recipe asks of a library, without composing a model of it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import set_seed

from prunus import ranks
from prunus.drive import Job
from prunus.drive._modules import Tuning, Wanted
from prunus.drive._scheme import write
from prunus.drive.library import Library
from prunus.errors import PrunusError
from prunus.recipe._bars import Bars
from prunus.recipe._composed import library
from prunus.recipe._job import job_for
from prunus.recipe._log import logged
from prunus.recipe._model import LIBRARY, Recipe
from prunus.recipe._open import folder_of
from prunus.recipe._parts import Parts, parts
from prunus.recipe._stage import Stage
from prunus.recipe._steps import open_all, trim_all
from prunus.report._library import Library as Shelf


@dataclass(frozen=True)
class Scheme:
    """The modules that configurations have.

    Attributes:
        configurations: how many there are.
        instances: modules of all of them together.
        distinct: how many of those differ.
        there: how many of the distinct ones the library has.
        folder: of the library.
    """

    configurations: int
    instances: int
    distinct: int
    there: int
    folder: Path

    def told(self) -> str:
        """In a sentence."""
        return (
            f"{self.configurations} configurations have {self.instances:,} modules,"
            f" {self.distinct:,} of them distinct; {self.there:,} of those are in {self.folder}"
        )


def scheme(recipe: Recipe, out: Path, number: int | None = None, quiet: bool = False) -> Scheme:
    """Write down which sites the configurations of a recipe prune, and to what density.

    Args:
        recipe: with drive: library.
        out: the file, of JSON, which ``drive.configurations`` reads.
        number: how many configurations there shall be.
        quiet: show no progress.

    Raises:
        PrunusError: the recipe names no configurations, or not as many, or see
            :func:`prunus.recipe.run.run`.
    """
    chosen = _parts(recipe)
    drive: Library = chosen.drive
    known = drive.configurations
    if known is None:
        raise PrunusError(
            "a scheme holds configurations, and the recipe has none, but densities to search among;"
            " name one with drive.configurations, such as composed"
        )
    if number not in (None, len(known.every)):
        raise PrunusError(
            f"{number} configurations were asked for (-n), but {len(known.every)} are named; the"
            " n-th densities of all kinds make the n-th configuration"
        )
    with _job(recipe, chosen, quiet) as job:
        drive.require(job)
        every = drive.modules(job)
        folder, there = _there(drive, job, every)
        write(out, known.on(job.sites))
    instances, found = sum(map(len, every)), sum(there.values())
    return Scheme(len(every), instances, len(there), found, folder)


def tune(recipe: Recipe, quiet: bool = False, only: Collection[str] | None = None) -> Shelf:
    """Put every module that a recipe names into its library.

    Args:
        recipe: with drive: library.
        quiet: show no progress.
        only: which of them, as :func:`missing` calls them; None is all.

    Raises:
        PrunusError: see :func:`prunus.recipe.run.run`.
    """
    chosen = _parts(recipe)
    drive: Library = chosen.drive
    with _job(recipe, chosen, quiet) as job:
        drive.require(job)
        every = [
            {site: own for site, own in one.items() if only is None or str(own) in only}
            for one in drive.modules(job)
        ]
        found = library(drive.stocked(job, every))
    assert found is not None
    return found


def missing(recipe: Recipe, quiet: bool = False) -> tuple[Path, list[str]]:
    """The library of a recipe, and which of its modules are not in it.

    Args:
        recipe: with drive: library.
        quiet: show no progress.

    Raises:
        PrunusError: see :func:`prunus.recipe.run.run`.
    """
    chosen = _parts(recipe)
    drive: Library = chosen.drive
    with _job(recipe, chosen, quiet) as job:
        drive.require(job)
        folder, there = _there(drive, job, drive.modules(job))
    return folder, [name for name, found in there.items() if not found]


def _there(
    drive: Library, job: Job, every: Iterable[Mapping[str, Wanted]]
) -> tuple[Path, dict[str, bool]]:
    """The library's folder, and which distinct modules of some models are in it."""
    modules = {str(own): own for one in every for own in one.values()}
    store, keys = drive.store(lambda _: None), Tuning(job, drive.held).keys(modules)
    return store.folder, {name: store.path(key).is_file() for name, key in keys.items()}


def _parts(recipe: Recipe) -> Parts:
    if recipe.drive["name"] != LIBRARY:
        raise PrunusError(
            f"drive: {recipe.drive['name']} has no library of modules; the recipe `composed` has"
            " one (drive: library)"
        )
    return parts(recipe)


@contextmanager
def _job(recipe: Recipe, chosen: Parts, quiet: bool) -> Iterator[Job]:
    """The job that a run of the recipe would begin with."""
    source = folder_of(recipe.model)
    with (
        ranks.together(recipe.device),
        TemporaryDirectory() as name,
        logged(Path(name) / "run.log") as log,
        Bars(quiet) as bars,
    ):
        folder = Path(name)
        stage = Stage(recipe, chosen, folder, folder / "out", bars, log)
        set_seed(recipe.seed)
        opened = trim_all(stage, open_all(stage, source))
        yield job_for(stage, opened.model, opened.prepared, opened.batches)
