"""The command that says what is wrong with this installation."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from json import dumps
from textwrap import wrap

from prunus.cli._print import say, waiting
from prunus.doctor import Finding, Installation, examine

WIDE = 100
WHAT = {True: "fault", False: "note"}


def doctor(*needed: str, json: bool = False) -> int:
    """Say what is wrong with this installation, and how to mend it.

    Exit code 0 where nothing is wrong, 1 where something is; notes are no faults.

    Args:
        needed: extras, or compiler, that you mean to use: what is missing of them is a fault.
        json: print it as JSON.
    """
    with waiting("examining"):
        found = examine(Installation(os.environ, needed))
    healthy = not any(one.fault for findings in found.values() for one in findings)
    say(*(_json(found, healthy) if json else _told(found)))
    return 0 if healthy else 1


def _json(found: Mapping[str, Sequence[Finding]], healthy: bool) -> list[str]:
    checks = {name: [asdict(one) for one in findings] for name, findings in found.items()}
    return [dumps({"healthy": healthy, "checks": checks}, indent=1)]


def _told(found: Mapping[str, Sequence[Finding]]) -> Iterator[str]:
    """Faults, then notes, then what is well, and how many faults there are."""
    for fault in (True, False):
        for name, findings in found.items():
            for one in findings:
                if one.fault is fault:
                    yield from _paragraph(name, one)
    yield f"well: {', '.join(name for name, findings in found.items() if not findings)}"
    faults = sum(one.fault for findings in found.values() for one in findings)
    yield f"{faults} fault{'' if faults == 1 else 's'}" if faults else "nothing is wrong"


def _paragraph(name: str, one: Finding) -> Iterator[str]:
    """Prose is wrapped; commands are not, so that they can be copied."""
    yield from wrap(f"{WHAT[one.fault]}: {name}: {one.what}", WIDE, subsequent_indent="  ")
    yield from wrap(one.why, WIDE, initial_indent="  ", subsequent_indent="  ")
    for index, command in enumerate(one.mend):
        yield f"  {'or' if index else 'mend'}: {command}"
    yield ""
