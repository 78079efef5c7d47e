"""The command that measures how sensitive each site is."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from prunus.cli._print import say, waiting
from prunus.cli._recipes import named_after
from prunus.recipe import read


def sensitivity(
    recipe: str,
    /,
    *overrides: str,
    densities: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    minutes: Annotated[float, Parameter(validator=Number(gt=0))] = 5.0,
    metric: bool = False,
    out: Path | None = None,
    quiet: bool = False,
) -> None:
    """Measure what each site loses as its units go, everything else dense.

    What was measured is kept as it comes; a second call goes on. The table is what select: measured
    splits a budget by.

    Args:
        recipe: a YAML file, a folder with recipe.yaml, or the name of a shipped recipe.
        overrides: settings put over the recipe's: score=magnitude
        densities: fractions of each site's units that stay: --densities .9 .75 .5 .25 .1 0
        minutes: how long is measured, once the units are scored.
        metric: measure the task's metric as well, which takes about as long again.
        out: the folder to write, runs/NAME-sensitivity where left out.
        quiet: show no progress, print nothing but errors.
    """
    with waiting("reading the recipe", quiet):
        settings = read(recipe, overrides)
        from prunus.recipe.sensitivity import DENSITIES
        from prunus.recipe.sensitivity import sensitivity as measure
        from prunus.report import sensitivity_table
    name = named_after(recipe)
    folder = out or name.with_name(f"{name.name}-sensitivity")
    found = measure(settings, folder, densities or DENSITIES, minutes, metric, quiet)
    if not quiet:
        say(sensitivity_table(found))
        say(f"table: {folder / 'sensitivity.json'}", f"page:  {folder / 'sensitivity.html'}")
