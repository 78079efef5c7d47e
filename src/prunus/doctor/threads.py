"""More threads than processor cores that may be used."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from prunus.doctor._finding import Finding
from prunus.doctor._installation import Installation


def check(here: Installation) -> Iterator[Finding]:
    """Compares torch's threads with the cores that affinity and control groups allow."""
    threads = here.answers.facts.get("threads", 1)
    allowed = math.ceil(min(_cores(), quota(here.root)))
    if threads > allowed:
        yield Finding(
            what=f"torch computes with {threads} threads, but only {allowed} of the machine's cores"
            " may be used",
            why="threads wait for each other in turns: computing gets many times slower",
            mend=(f"export OMP_NUM_THREADS={allowed}",),
        )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(root: Path) -> float:
    """How many cores the control groups of this process may use, infinity where there is no limit.

    Reads version 2 (``cpu.max``) and version 1 (``cpu.cfs_quota_us``), the group's and those above.
    """
    top = root / "sys/fs/cgroup"
    found = [math.inf]
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        below = top / "cpu" if "cpu" in controllers.split(",") else top
        folder = below / group.lstrip("/")
        found += [_limit(one) for one in (folder, *folder.parents) if one.is_relative_to(below)]
    return min(found)


def _limit(folder: Path) -> float:
    """Cores that one group may use."""
    told = _lines(folder / "cpu.max") or [
        " ".join(
            word
            for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            for word in _lines(folder / name)
        )
    ]
    most, _, period = told[0].partition(" ")
    return int(most) / int(period) if most.isdigit() and period.isdigit() else math.inf


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
