"""Tuned modules in a folder, each under the hash of all that it depends on."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prunus.errors import PrunusError
from prunus.files import cache, write_bytes
from prunus.library._claim import unwritable
from prunus.library._entry import Entry
from prunus.library._key import Key
from prunus.library._module import Module, decode, encode

SUFFIX = ".safetensors"
NAME = re.compile(r"[0-9a-f]{64}" + re.escape(SUFFIX))


def place(environment: Mapping[str, str]) -> Path:
    """Where tuned modules are kept: $PRUNUS_LIBRARY, or ``library`` in the cache."""
    told = environment.get("PRUNUS_LIBRARY")
    return Path(told).expanduser() if told else cache(environment) / "library"


def _nobody(_: str) -> None:
    """Hears what a library tells."""


@dataclass(frozen=True)
class Library:
    """A folder of tuned modules: ``FOLDER/ab/abcd….safetensors``, one file a module.

    Files are written beside and renamed, so that a reader sees a whole one or none, whoever writes
    and whoever is killed.

    Attributes:
        folder: it need not be there yet.
        told: called with a sentence when an entry is broken, or one of another process is awaited.
    """

    folder: Path
    told: Callable[[str], object] = _nobody

    def path(self, key: Key) -> Path:
        """Where the entry of a key is."""
        return self.folder / key.digest[:2] / f"{key.digest}{SUFFIX}"

    def find(self, key: Key) -> Module | None:
        """The module that was kept for exactly this key; a broken one is told, and is none."""
        try:
            return self.read(key)
        except PrunusError as error:
            self.told(str(error))
            return None

    def read(self, key: Key) -> Module | None:
        """The module that was kept for exactly this key, marked as used.

        Raises:
            PrunusError: the file is none of this format and key, or truncated, damaged or changed.
        """
        path = self.path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PrunusError(f"{path}: not readable ({error.strerror})") from None
        try:
            module = decode(data, key.digest)
        except PrunusError as error:
            raise PrunusError(f"{path}: {error}") from None
        with suppress(OSError):  # a library that may only be read
            os.utime(path)
        return module

    def put(self, key: Key, module: Module) -> Module:
        """Keep a module; what is returned is what will be found.

        Raises:
            PrunusError: the folder cannot be written.
        """
        data, path = encode(key, module), self.path(key)
        try:
            write_bytes(path, data)
        except OSError as error:
            raise unwritable(path, error) from None
        return decode(data, key.digest)

    def paths(self) -> Iterator[Path]:
        """The files of entries, sorted; others in the folder are not the library's."""
        found = self.folder.glob(f"??/*{SUFFIX}")
        return (path for path in sorted(found) if NAME.fullmatch(path.name))

    def entries(self) -> Iterator[Entry]:
        """Every entry, by its header: tensors are not read."""
        for path in self.paths():
            with suppress(FileNotFoundError):  # removed meanwhile
                yield Entry.of(path)

    def entry(self, prefix: str) -> Entry:
        """The entry whose digest begins so.

        Raises:
            PrunusError: there is none, or there are several.
        """
        found = [path for path in self.paths() if path.stem.startswith(prefix.lower())]
        if len(found) != 1:
            several = ", ".join(path.stem[: len(prefix) + 6] for path in found[:5])
            what = f"{len(found)} entries of {self.folder} begin" if found else "no entry begins"
            mend = several or f"`prunus library ls` lists those of {self.folder}"
            raise PrunusError(f"{what} with {prefix!r}: {mend}")
        return Entry.of(found[0])
