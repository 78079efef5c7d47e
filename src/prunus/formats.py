"""Versions of the files that prunus writes: one reader for each kind, which knows older ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunus.errors import PrunusError
from prunus.notation import read_json

KEY = "format"

Said = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        kind: what it is called in messages.
        version: what is written now.
        upgrades: {older version: makes the next version's content of it}.
        unsaid: the version of a file that says none; None where every one says it.
    """

    kind: str
    version: int = 1
    upgrades: Mapping[int, Callable[[Said], Said]] = field(default_factory=dict)
    unsaid: int | None = None

    def current(self, said: Any) -> Said:
        """What a file says, as the present version says it.

        Args:
            said: what it holds, in any version that there was.

        Raises:
            PrunusError: it is no mapping, says no version, or one that prunus never wrote or that a
                newer prunus wrote.
        """
        if not isinstance(said, Mapping):
            raise PrunusError(f"no {self.kind}: it holds no keys")
        version = self._version(said)
        found = {**said, KEY: version}
        for step in range(version, self.version):
            found = {**self.upgrades.get(step, dict)(found), KEY: step + 1}
        return found

    def read(self, path: Path) -> Said:
        """What a JSON file of this kind says, as the present version says it.

        Raises:
            PrunusError: it cannot be read, or as :meth:`current`.
        """
        said = read_json(path)
        try:
            return self.current(said)
        except PrunusError as error:
            raise PrunusError(f"{path}: {error}") from None

    def _version(self, said: Mapping[str, Any]) -> int:
        version = said.get(KEY, self.unsaid)
        if version is None:
            raise PrunusError(f"no {self.kind}: the key {KEY!r} is missing")
        oldest = min([self.version, *self.upgrades])
        if type(version) is not int or version < oldest:
            raise PrunusError(f"no {self.kind}: {KEY} {version!r}; expected {self.version}")
        if version > self.version:
            raise PrunusError(
                f"this {self.kind} has format {version} and was written by a newer prunus; this one"
                f" reads formats up to {self.version}: install the newer one"
            )
        return version
