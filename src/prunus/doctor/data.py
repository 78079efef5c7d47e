"""The local mirror of task data."""

from collections.abc import Iterator
from pathlib import Path

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation

ROOT = "PRUNUS_DATA"


def check(here: Installation) -> Iterator[Finding]:
    """Looks whether the folder that PRUNUS_DATA names is there."""
    said = here.environment.get(ROOT)
    if said and not Path(said).is_dir():
        yield Finding(
            what=f"{ROOT} names {said}, which is no folder",
            why="data is looked for there first, and then on the hub",
            mend=(f"unset {ROOT}",),
        )
