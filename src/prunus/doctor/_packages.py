"""What packages say of themselves, read without importing them."""

import shlex
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

US = "prunus"


def installed(name: str) -> str | None:
    """The version of a package, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def requirements(name: str = US, extra: str = "") -> list[Requirement]:
    """What a package needs: for itself, or for one of its extras in addition."""
    try:
        found = [Requirement(line) for line in requires(name) or ()]
    except PackageNotFoundError:
        return []
    plain = [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]
    if not extra:
        return plain
    return [
        one
        for one in found
        if one not in plain and one.marker and one.marker.evaluate({"extra": extra})
    ]


def offered() -> list[str]:
    """The extras that prunus offers."""
    return sorted(metadata(US).get_all("Provides-Extra") or ())


def fits(need: Requirement, found: str) -> bool:
    """Whether a version is one that is needed; development versions count."""
    return need.specifier.contains(found, prereleases=True)


def pip(*arguments: str) -> str:
    """The command line of this Python's pip."""
    return shlex.join((sys.executable, "-m", "pip", *arguments))
