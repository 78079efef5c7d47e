"""What is wrong with this installation, and how to mend it. One file a check; none needs torch.

A check is a function ``check(here: Installation) -> Iterator[Finding]`` in a file of its own, whose
name is the check's. Nothing that may be broken is imported in this process: a probe does it.
"""

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation
from prunus.doctor._packages import offered
from prunus.errors import unknown
from prunus.registry import load, names

__all__ = ["Finding", "Installation", "examine"]

NEEDS = ("compiler",)
"""What can be asked for beside extras."""


def examine(here: Installation) -> dict[str, list[Finding]]:
    """What every check finds; an empty list is a clean bill.

    Args:
        here: what is examined.

    Raises:
        PrunusError: ``here.needed`` names something that is neither an extra nor in NEEDS.
    """
    known = [*offered(), *NEEDS]
    for need in here.needed:
        if need not in known:
            raise unknown("extra", need, known)
    return {name: list(load("doctor", name).check(here)) for name in names("doctor")}
