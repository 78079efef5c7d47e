"""Python and the packages that prunus needs, in versions that it works with."""

import platform
from collections.abc import Iterator
from importlib.metadata import metadata

from packaging.specifiers import SpecifierSet

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation
from prunus.doctor._packages import US, fits, installed, pip, requirements


def check(here: Installation) -> Iterator[Finding]:
    """Compares what is installed with what prunus says it needs."""
    yield from _python(metadata(US)["Requires-Python"] or "", platform.python_version())
    for need in requirements():
        found = installed(need.name)
        wanted = f"{need.name}{need.specifier}"
        if found is None:
            yield Finding(
                what=f"{need.name} is not installed",
                why=f"prunus needs {wanted}",
                mend=(pip("install", wanted),),
            )
        elif not fits(need, found):
            yield Finding(
                what=f"{need.name} {found} is a version that prunus does not work with",
                why=f"prunus is written for {wanted}, and fails or errs with others",
                mend=(pip("install", wanted),),
            )


def _python(wanted: str, found: str) -> Iterator[Finding]:
    if not SpecifierSet(wanted).contains(found, prereleases=True):
        yield Finding(
            what=f"Python {found} is a version that prunus does not work with",
            why=f"prunus is written for Python {wanted}",
            mend=(f"python{wanted.lstrip('>=')} -m venv .venv && .venv/bin/pip install {US}",),
        )
