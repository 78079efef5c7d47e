"""The one error users meet: it says what, where, what was got, and how to mend it."""

from collections.abc import Iterable
from difflib import get_close_matches


class PrunusError(ValueError):
    """Raised for bad input of any kind; the command line prints it and exits with code 2."""


def unknown(what: str, got: str, known: Iterable[str], mend: str = "") -> PrunusError:
    """An error for a name nobody knows, answered with the nearest names that exist.

    Args:
        what: the kind of thing that was looked for, such as ``"criterion"``.
        got: the name that was given.
        known: every name that would have been right.
        mend: one more sentence on how to mend it.

    >>> unknown("criterion", "fischer", ["fisher", "taylor"])
    PrunusError("unknown criterion 'fischer'. Did you mean 'fisher'? Known: fisher, taylor.")
    """
    names = sorted(known)
    near = get_close_matches(got, names, n=3)
    hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    tail = f" {mend}" if mend else ""
    return PrunusError(f"unknown {what} {got!r}.{hint} Known: {', '.join(names) or 'none'}.{tail}")
