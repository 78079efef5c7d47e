"""Measurements on the disk as they are made, so that a run that is cut off goes on."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.formats import KEY, Format
from prunus.notation import load_json

FORMAT = Format("journal of measurements", unsaid=1)


@dataclass
class Journal:
    """A file of JSON lines: first what is measured, then one measurement a line.

    Attributes:
        path: the file.
        head: what is measured; empty where nothing was written yet.
        rows: the measurements.
    """

    path: Path
    head: dict[str, Any] = field(init=False, default_factory=dict)
    rows: list[dict[str, Any]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Read what is there; a last line that was cut off is dropped.

        Raises:
            PrunusError: the file holds something else.
        """
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_bytes(self.path, whole.encode())
        lines = list(self._parsed(whole))
        if lines:
            head, *self.rows = lines
            self.head = FORMAT.current(head)

    def begin(self, head: dict[str, Any]) -> None:
        """Say what is measured, or check that it is what was measured before, if anything was.

        Raises:
            PrunusError: it is something else.
        """
        if not self.rows:
            self.head = {KEY: FORMAT.version, **head}
            write_bytes(self.path, f"{json.dumps(self.head)}\n".encode())
        differs = [key for key in head if self.head.get(key) != head[key]]
        if differs:
            raise PrunusError(
                f"{self.path} is of another {', '.join(differs)}: choose another folder (--out), or"
                " remove it"
            )

    def add(self, row: dict[str, Any]) -> None:
        """Append a measurement, and push it to the disk."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(row)}\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)

    def _parsed(self, text: str) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(text.splitlines(), 1):
            try:
                found = load_json(line)
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise PrunusError(f"{self.path}:{number}: no measurement; remove the file")
            yield found
