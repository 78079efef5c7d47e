"""The folder of safe points: what was found is written at intervals, all or none of it."""

import json
import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import inf
from pathlib import Path
from shutil import rmtree
from typing import Any, TypeVar

import numpy
import torch

from prunus import ranks
from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.formats import Format
from prunus.notation import load_json
from prunus.safe._kept import Kept

T = TypeVar("T")
INDEX = "points.json"
"""Which points count; it is written last."""
FORMAT = Format("index of safe points")
TRAININGS = "trainings"
"""The folder of the checkpoints of trainings that are going on."""


@dataclass
class _Store:
    """What all views of the points share.

    Attributes:
        folder: where they lie; None keeps nothing.
        every: seconds from one writing to the next.
        facts: what else is written with them.
        writes: whether this process writes; others only read.
        index: what the disk has: ``points`` by name, and facts.
        waiting: what the next writing adds.
        gone: names that it takes away.
        left: folders of trainings that it takes away.
        written: when the last one was, by the monotonic clock.
    """

    folder: Path | None = None
    every: float = inf
    writes: bool = False
    facts: Callable[[], Mapping[str, Any]] = dict
    index: dict[str, Any] = field(default_factory=dict)
    waiting: dict[str, Kept] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    left: set[Path] = field(default_factory=set)
    written: float = field(default_factory=time.monotonic)

    @property
    def names(self) -> dict[str, str]:
        """{name: file} on the disk."""
        return self.index.get("points", {})


@dataclass
class SafePoints:
    """Values under names, which a later process finds again; by default nothing is kept.

    Values wait in memory until so much time is over since the last writing, and then all of them
    are written: what is on the disk is always everything up to a moment. The first rank writes.

    Attributes:
        seed: of everything that is drawn.
        prefix: of all names of this view.
    """

    seed: int = 0
    prefix: str = ""
    store: _Store = field(default_factory=_Store)

    @classmethod
    def at(cls, folder: Path, every: float | None, seed: int) -> "SafePoints":
        """Those in a folder, if there are any.

        Args:
            folder: of the points.
            every: seconds from one writing to the next; None writes nothing.
            seed: of everything that is drawn.

        Raises:
            PrunusError: they cannot be read.
        """
        index = ranks.shared(_text(folder / INDEX))
        try:
            found = FORMAT.current(load_json(index)) if index else {}
        except ValueError as error:
            raise PrunusError(
                f"{folder / INDEX}: not readable safe points ({error}); remove {folder}"
            ) from None
        store = _Store(folder, inf if every is None else every, index=found)
        store.writes = every is not None and ranks.first()
        return cls(seed, store=store)

    @property
    def told(self) -> dict[str, Any]:
        """The facts that were written last; none where nothing was."""
        return self.store.index

    @property
    def keeps(self) -> bool:
        """Whether this process keeps anything."""
        return self.store.writes

    def within(self, name: str) -> "SafePoints":
        """The same with names of their own."""
        return replace(self, prefix=f"{self.prefix}{name}/")

    def once(
        self,
        name: str,
        make: Callable[[], T],
        pack: Callable[[T], Kept] = Kept,
        unpack: Callable[[Kept], T] = lambda kept: kept.said,
    ) -> T:
        """What was kept, or what is made now; whatever it draws depends on the name alone.

        Args:
            name: of the value.
            make: it.
            pack: how it is kept.
            unpack: and taken back.
        """
        kept = self.get(name)
        if kept is not None:
            return unpack(kept)
        self.reseed(name)
        made = make()
        self.put(name, pack(made))
        return made

    def reseed(self, name: str) -> None:
        """Begin the random numbers of a stage: they depend on the seed and its name."""
        digest = sha256(f"{self.seed}/{self.prefix}{name}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big")
        random.seed(seed)
        numpy.random.seed(seed)
        torch.manual_seed(seed)

    def get(self, name: str) -> Kept | None:
        """What is kept, if anything is; what the first rank has counts for all of them."""
        if ranks.world() == 1:
            return self._found(name)
        found = self._found(name) if ranks.first() else None
        data = ranks.shared(b"" if found is None else found.encoded())
        return Kept.decoded(data) if data else None

    def _found(self, name: str) -> Kept | None:
        store, name = self.store, self.prefix + name
        if name in store.waiting:
            return store.waiting[name]
        if name in store.gone or store.folder is None or name not in store.names:
            return None
        return Kept.read(store.folder / store.names[name])

    def put(self, name: str, kept: Kept) -> None:
        """Keep a value, in the place of an older one of the name."""
        if not self.keeps:
            return
        self.store.waiting[self.prefix + name] = kept.held()
        self.store.gone.discard(self.prefix + name)
        self.tick()

    def drop(self, prefix: str = "") -> None:
        """Forget what a later point makes needless: names that begin so, and trainings."""
        store, prefix = self.store, self.prefix + prefix
        for name in [name for name in store.waiting if name.startswith(prefix)]:
            del store.waiting[name]
        store.gone |= {name for name in store.names if name.startswith(prefix)}
        begun = store.folder.glob(f"{TRAININGS}/{_slug(prefix)}*") if store.folder else ()
        store.left |= set(begun)

    def training(self, name: str) -> Path | None:
        """The folder for a training's checkpoints; None where nothing is kept."""
        folder = self.store.folder if self.store.every < inf else None
        return folder and folder / TRAININGS / _slug(self.prefix + name)

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        store = self.store
        return store.folder is not None and time.monotonic() - store.written >= store.every

    def tick(self) -> None:
        """Write what waits, if it is time to."""
        if self.due:
            self.flush()

    def flush(self) -> None:
        """Write what waits: values first, then which of them count; what does not goes."""
        store, folder = self.store, self.store.folder
        if folder is None or not store.writes:
            return
        number = store.index.get("number", 0)
        names = {name: file for name, file in store.names.items() if name not in store.gone}
        for name, kept in store.waiting.items():
            number += 1
            names[name] = f"{number:06d}.safetensors"
            write_bytes(folder / names[name], kept.encoded())
        facts = {"format": FORMAT.version, "number": number, **store.facts(), "points": names}
        write_bytes(folder / INDEX, json.dumps(facts, indent=1).encode())
        store.index = facts
        self._sweep()
        store.waiting.clear()
        store.gone.clear()
        store.written = time.monotonic()

    def forget(self) -> None:
        """Keep nothing of all this any longer: nothing counts from the first removal on."""
        if self.store.folder is not None and ranks.first():
            (self.store.folder / INDEX).unlink(missing_ok=True)
            rmtree(self.store.folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove files that no longer count."""
        store = self.store
        assert store.folder is not None
        for file in store.folder.glob("*.safetensors"):
            if file.name not in store.names.values():
                file.unlink(missing_ok=True)
        for folder in store.left:
            rmtree(folder, ignore_errors=True)
        store.left.clear()


def _text(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return path.read_bytes() if ranks.first() else b""
    return b""


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
