"""Extras: packages that only some things need."""

from collections.abc import Iterator

from packaging.requirements import Requirement

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation
from prunus.doctor._packages import US, fits, installed, offered, pip, requirements


def check(here: Installation) -> Iterator[Finding]:
    """Names the extras that are missing; a fault where they are needed."""
    for extra in offered():
        lacking = [_lack(need) for need in requirements(extra=extra) if not _there(need)]
        if lacking:
            yield Finding(
                what=f"the extra {extra!r} is missing: {', '.join(lacking)}",
                why=f"what builds on {extra!r} stops with an error; all else works without it",
                mend=(pip("install", f"{US}[{extra}]"),),
                fault=extra in here.needed,
            )


def _there(need: Requirement) -> bool:
    found = installed(need.name)
    return found is not None and fits(need, found)


def _lack(need: Requirement) -> str:
    found = installed(need.name)
    return f"{need.name}{need.specifier}" + (f" (here is {found})" if found else "")
