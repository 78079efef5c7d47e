"""Configurations from densities on the command line, by what attention and linear layers hold."""

import json
from collections.abc import Iterator, Sequence

from prunus.errors import PrunusError
from prunus.tiling import Grid

ATTENTION = "heads"
LINEAR = "neurons"
GRID = "grid"
"""The kind of the sites that a grid makes."""


def configured(
    sites: Sequence[str | Grid], attention: Sequence[float] | None, linear: Sequence[float] | None
) -> Iterator[str]:
    """The override that says so, if anything is said.

    Args:
        sites: of the recipe.
        attention: densities of the heads, one a configuration.
        linear: densities of the neurons, or of grids where there are no neurons.

    Raises:
        PrunusError: the recipe has no such sites.
    """
    kinds = {own if isinstance(own, str) else GRID for own in sites}
    asked = {
        ("--attention", ATTENTION): attention,
        ("--linear", LINEAR if LINEAR in kinds else GRID): linear,
    }
    said = {name: list(own) for name, own in asked.items() if own is not None}
    for option, kind in said:
        if kind not in kinds:
            raise PrunusError(
                f"{option}: the recipe's sites are {', '.join(sorted(kinds))}, and {kind} are none"
                " of them; leave the option out, or say sites=[heads,neurons]"
            )
    if said:
        lists = {kind: own for (_, kind), own in said.items()}
        yield f"drive.configurations={json.dumps(lists)}"
