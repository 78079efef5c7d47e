"""The commands that look after a library of tuned modules."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from prunus.cli._configured import configured
from prunus.cli._engine import LOCAL, Where
from prunus.cli._print import say, waiting
from prunus.errors import PrunusError
from prunus.recipe import read

if TYPE_CHECKING:
    from prunus.library import Library

Densities = Annotated[list[float] | None, Parameter(consume_multiple=True)]

library = App(name="library", help="Fill a library of tuned modules, and look after it.")


@library.command
def scheme(
    recipe: str,
    /,
    *overrides: str,
    attention: Densities = None,
    linear: Densities = None,
    number: Annotated[int | None, Parameter(name=["--number", "-n"])] = None,
    out: Path,
    quiet: bool = False,
) -> None:
    """Write down which modules the configurations of a recipe have, to be read and edited.

    Nothing is tuned. The file is what drive.configurations takes.

    Args:
        recipe: a YAML file, a folder with recipe.yaml, or the name of a shipped recipe, with drive:
            library.
        overrides: settings put over the recipe's: calibration.samples=512
        attention: instead of the recipe's configurations, how much of the heads stays in each:
            --attention .25 .5
        linear: the same of the neurons, or of what the recipe has in their place: grids of weights.
        number: how many configurations there are; it is an error if there are not as many.
        out: the JSON file to write.
        quiet: show no progress, print nothing but errors.
    """
    with waiting("reading the recipe", quiet):
        settings = read(recipe, overrides)
        said = configured(settings.sites, attention, linear)
        settings = read(recipe, [*overrides, *said])
        from prunus.recipe.library import scheme as write_down
    found = write_down(settings, out, number, quiet)
    if not quiet:
        say(found.told(), f"scheme: {out}")


@library.command
def tune(recipe: str, /, *overrides: str, where: Where = LOCAL, quiet: bool = False) -> None:
    """Tune every module that a recipe names and its library lacks; nothing is composed.

    With --workers or another --engine, shares of the modules are tuned at the same time.

    Args:
        recipe: a YAML file, a folder with recipe.yaml, or the name of a shipped recipe, with drive:
            library.
        overrides: settings put over the recipe's: drive.folder=runs/library
        where: shares are tuned.
        quiet: show no progress, print nothing but errors.
    """
    with waiting("reading the recipe", quiet):
        settings = read(recipe, overrides)
        from prunus.recipe.library import tune as fill
        from prunus.report import modules
        from prunus.study._tuning import tune_apart

        engine = where.chosen()
    found = fill(settings, quiet) if where == LOCAL else tune_apart(settings, engine, quiet)
    if not quiet:
        say(modules(found))


@library.command(name="ls")
def listing(*, folder: Path | None = None) -> None:
    """List the modules of a library: how good each is, how large, and when it was last used.

    Args:
        folder: the library; $PRUNUS_LIBRARY or ~/.cache/prunus/library where left out.
    """
    with waiting("looking"):
        from prunus.cli._modules import listed

        shelf = _open(folder)
        found = list(listed(shelf))
    say(*found)


@library.command
def show(digest: str, /, *, folder: Path | None = None) -> None:
    """Show what one module of a library depends on, and what was measured of it.

    Args:
        digest: how its digest begins, as ls shows it.
        folder: the library; $PRUNUS_LIBRARY or ~/.cache/prunus/library where left out.
    """
    with waiting("looking"):
        from prunus.cli._modules import described

        found = list(described(_open(folder).entry(digest)))
    say(*found)


@library.command
def gc(
    *,
    unused: Annotated[float | None, Parameter(validator=Number(gte=0))] = None,
    dry_run: bool = False,
    folder: Path | None = None,
) -> None:
    """Remove what is broken or was left half-written, and what was not used for long.

    Every module is read. What another process is tuning stays.

    Args:
        unused: days; modules that were not used for longer go, too.
        dry_run: only say what would go.
        folder: the library; $PRUNUS_LIBRARY or ~/.cache/prunus/library where left out.
    """
    with waiting("reading every module"):
        from prunus.library import gc as collect
        from prunus.report._units import scaled

        found = collect(_open(folder), unused, dry_run)
    verb, size = "would go" if dry_run else "removed", sum(one.bytes for one in found)
    say(*(f"{one.path}: {one.why}" for one in found))
    say(f"{verb}: {len(found)} file{'s' * (len(found) != 1)}, {scaled(size, 'B')}")


def _open(folder: Path | None) -> "Library":
    from prunus.library import Library, place

    folder = folder or place(os.environ)
    if not folder.is_dir():
        raise PrunusError(
            f"there is no library in {folder}: a run with drive: library makes one; --folder or"
            " PRUNUS_LIBRARY name another"
        )
    return Library(folder)
