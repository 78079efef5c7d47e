"""Commands that work on recipes: run, train, check, ls, cp."""

from pathlib import Path
from typing import Any

from prunus.cli import _names as names_of
from prunus.cli._print import lines, say, waiting
from prunus.errors import PrunusError, unknown
from prunus.files import folder_beside
from prunus.recipe import find, label, read, read_training, shipped

RUNS = Path("runs")


def run(
    recipe: str,
    /,
    *overrides: str,
    out: Path | None = None,
    max_loss: str | None = None,
    speedup: float | None = None,
    max_bytes: str | None = None,
    baselines: bool = False,
    portable: bool = False,
    resume: bool = False,
    quiet: bool = False,
) -> None:
    """Prune, shrink, save, reload, measure and report.

    Args:
        recipe: a YAML file, a folder with recipe.yaml, or the name of a shipped recipe.
        overrides: settings put over the recipe's: budget.density=.4
        out: the folder to write, runs/NAME where left out.
        max_loss: prune as far as this loss on the development split allows: 1pt.
        speedup: make it so many times as fast, measured on this machine.
        max_bytes: make the saved weights no larger than this: 50MB.
        baselines: measure what else could have been done beside it: random units, a narrower and
            a shallower model, bfloat16, int8.
        portable: let transformers alone open the result, with trust_remote_code=True.
        resume: go on from the safe points of a run that was cut off; begin where there are none.
        quiet: show no progress, print nothing but errors.
    """
    asked = [*["compare=true"] * baselines, *["portable=true"] * portable]
    with waiting("reading the recipe", quiet):
        settings = read(recipe, [*asked, *overrides], _amounts(max_loss, speedup, max_bytes))
        from prunus.recipe.rewrite import opener
        from prunus.recipe.run import run as carry_out
        from prunus.report import tables
    folder = out or Path(settings.out or named_after(recipe))
    report = carry_out(settings, folder, quiet, resume)
    if not quiet:
        say(*tables(report))
        if settings.portable or settings.packed:
            say(f"model opened by: {opener(folder / 'model')}")
        say(f"model:  {folder / 'model'}", f"report: {folder / 'report.html'}")


def train(
    recipe: str,
    /,
    *overrides: str,
    out: Path | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> None:
    """Fine-tune a dense checkpoint, to be pruned later.

    Args:
        recipe: a YAML file with the keys model, task and training, or a shipped name.
        overrides: settings put over the recipe's: training.epochs=2
        out: the folder to write, runs/NAME where left out.
        resume: go on from the safe points of a training that was cut off; begin where there are
            none.
        quiet: show no progress, print nothing but errors.
    """
    with waiting("reading the recipe", quiet):
        settings = read_training(recipe, overrides)
        from prunus.recipe.train import train as carry_out
    folder = out or Path(settings.out or named_after(recipe))
    result = carry_out(settings, folder, quiet, resume)
    if not quiet:
        say(*result, f"model: {folder}")


def check(
    recipe: str,
    /,
    *overrides: str,
    max_loss: str | None = None,
    speedup: float | None = None,
    max_bytes: str | None = None,
) -> None:
    """Validate a recipe and print what would be cut, without scoring anything.

    Args:
        recipe: as for run.
        overrides: as for run.
        max_loss: as for run; what is cut at most is printed.
        speedup: as for run.
        max_bytes: as for run.
    """
    with waiting("opening model and data"):
        settings = read(recipe, overrides, _amounts(max_loss, speedup, max_bytes))
        from prunus.recipe.check import check as preview

        found = preview(settings)
    from prunus.cli._tables import amounts, patterns, per_layer, timetable

    say(*per_layer({name: (units, units) for name, units in found.sites.items()}))
    say(f"sites: {patterns(found.sites)}")
    say(*(f"rule {rule!r} matches {count} sites" for rule, count in found.rules.items()))
    if found.vocabulary is not None:
        pair = found.vocabulary
        say(f"vocabulary: {pair.pruned:,} of {pair.dense:,} tokens stay; all else is after that")
    for why in dict.fromkeys(found.fixed.values()):
        names = [name for name, told in found.fixed.items() if told == why]
        say(f"always stays: the output of {', '.join(names)} ({why})")
    if found.spared:
        say(f"head: {', '.join(found.spared)} stays dense; `head: true` beside a grid takes it")
    for kind, step in found.steps.items():
        say(f"{kind} stay in multiples of {step}, or of what it has in common with their number")
    if found.training is not None:
        say(*timetable(found.training))
    say("", amounts(found), f"{label(find(recipe))}: the recipe is sound")


def listing(what: str | None = None, /) -> None:
    """List criteria, drives, recover, losses, tasks, networks, families or recipes; or all of them.

    Args:
        what: which of them.
    """
    if what is not None and what not in names_of.SECTIONS:
        raise unknown("list", what, names_of.SECTIONS)
    for section in [what] if what else names_of.SECTIONS:
        say(*lines(section, names_of.described(section)))


def copy(name: str, destination: Path, /) -> None:
    """Copy a shipped recipe with its card, to be edited.

    Args:
        name: of the recipe, as prunus ls recipes lists them.
        destination: the folder to make.
    """
    folders = {path.parent.name: path.parent for path in shipped().values()}
    if name not in folders:
        raise unknown("recipe", name, folders)
    if destination.exists():
        raise PrunusError(f"{destination} exists already; name a folder that does not")
    with folder_beside(destination) as fresh:
        for file in sorted(folders[name].iterdir()):
            if file.is_file():
                (fresh / file.name).write_bytes(file.read_bytes())
    say(f"{destination}: prunus check {destination}, prunus run {destination}")


def _amounts(max_loss: str | None, speedup: float | None, max_bytes: str | None) -> dict[str, Any]:
    """Those that were given."""
    said = {"max_loss": max_loss, "speedup": speedup, "max_bytes": max_bytes}
    return {word: value for word, value in said.items() if value is not None}


def named_after(recipe: str) -> Path:
    """Where runs of a recipe go that no folder is named for."""
    return RUNS / label(find(recipe)).replace("/", "-")
