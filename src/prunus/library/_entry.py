"""What is known of a kept module without reading its tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunus.errors import PrunusError
from prunus.library._module import header


@dataclass(frozen=True)
class Entry:
    """One file of a library.

    Attributes:
        path: of the file.
        bytes: its size.
        used: when it was last found, or made: seconds since the epoch.
        about: what its header says: ``key``, ``density``, ``shape``, ``figures``, ``versions``,
            ``made``.
        fault: what is wrong with it, if anything is; then ``about`` is empty.
    """

    path: Path
    bytes: int
    used: float
    about: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""

    @classmethod
    def of(cls, path: Path) -> "Entry":
        """Read the header of a file.

        Raises:
            FileNotFoundError: it is gone.
        """
        facts = path.stat()
        try:
            return cls(path, facts.st_size, facts.st_mtime, header(path))
        except PrunusError as error:
            return cls(path, facts.st_size, facts.st_mtime, fault=str(error))

    @property
    def digest(self) -> str:
        """Hex SHA-256 of its key."""
        return self.path.stem
