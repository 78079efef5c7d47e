"""A second Python imports what may be broken: whatever it does there, this process goes on."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 300
"""Seconds."""


@dataclass(frozen=True)
class Answers:
    """What the probe told before it ended.

    Attributes:
        errors: for every module that was tried, why it does not import, or None.
        facts: what torch and the loaded libraries say of themselves; missing where torch is.
        ended: how the probe ended where that was not at its end.
    """

    errors: Mapping[str, str | None] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    ended: str = ""


def ask(environment: Mapping[str, str]) -> Answers:
    """Run the probe in a fresh Python with these environment variables."""
    command = [sys.executable, "-P", "-m", "prunus.doctor._probe"]
    try:
        done = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        return understood(said, f"it hung for {PATIENCE} seconds")
    except OSError as error:
        return Answers(ended=str(error))
    return understood(done.stdout, _end(done))


def understood(said: str, ended: str) -> Answers:
    """The answers in what the probe printed, one JSON object a line.

    A module that it began with and never came back from is the one that ended it.
    """
    errors: dict[str, str | None] = {}
    facts: dict[str, Any] = {}
    for line in _objects(said):
        if "begins" in line:
            errors[line["begins"]] = ended
        elif "imported" in line:
            errors[line["imported"]] = line["error"]
        else:
            facts |= line
    return Answers(errors, facts, ended)


def _objects(said: str) -> Iterator[dict[str, Any]]:
    """The lines that are JSON objects: libraries print, too."""
    for line in said.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _end(done: subprocess.CompletedProcess[str]) -> str:
    if not done.returncode:
        return ""
    last = next(reversed(done.stderr.strip().splitlines()), "")
    return f"Python ended with code {done.returncode}" + (f": {last}" if last else "")
