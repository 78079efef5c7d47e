"""What a check has to say."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that a user should know of.

    Attributes:
        what: what was found.
        why: why it matters.
        mend: command lines that mend it; any one of them is enough.
        fault: whether something is wrong; else this is worth knowing, no more.
    """

    what: str
    why: str
    mend: tuple[str, ...] = ()
    fault: bool = True
