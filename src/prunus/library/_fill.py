"""Every wanted module: those that are kept, those of others, and the rest, tuned here, once."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from prunus.errors import PrunusError
from prunus.library._claim import claim
from prunus.library._key import Key
from prunus.library._library import Library
from prunus.library._module import Module

CLAIMS = 200
"""Modules tuned at once: each holds a lock, which is an open file."""
POLL = 0.2
"""Seconds between two looks for what others are tuning."""

Tune = Callable[[list[str]], Iterable[tuple[str, Module]]]


@dataclass(frozen=True)
class Filled:
    """Where the wanted modules came from: each name is in one of the lists.

    Attributes:
        modules: {name: module}, in the order that they were wanted.
        reused: those that were kept, or that others tuned meanwhile.
        tuned: those that were tuned here.
        redone: those that were tuned here because the kept one was broken.
        seconds: what tuning took here, by the wall; waiting for others is left out.
        cpu: what tuning took here, of this process's CPU time.
    """

    modules: dict[str, Module]
    reused: list[str]
    tuned: list[str]
    redone: list[str]
    seconds: float
    cpu: float

    def after(self, before: "Filled") -> "Filled":
        """The same, with what was tuned here before it."""
        tuned, redone = before.tuned + self.tuned, before.redone + self.redone
        reused = [name for name in self.reused if name not in {*tuned, *redone}]
        seconds, cpu = before.seconds + self.seconds, before.cpu + self.cpu
        return Filled(self.modules, reused, tuned, redone, seconds, cpu)


def fill(library: Library, wanted: Mapping[str, Key], tune: Tune) -> Filled:
    """Get every wanted module; what nobody has kept, or is tuning now, is tuned here.

    Several processes may fill one library. Each tunes what it can claim, and only then waits for
    what others claimed: so nobody waits for one who waits. Where one of them is killed, its locks
    are free, and another one tunes what it left undone.

    Args:
        library: where they are kept.
        wanted: {name: key}.
        tune: gets the names that are to be tuned, and yields each with its module; they are kept
            as they come. It may be called again, for what others left undone.

    Raises:
        PrunusError: the library cannot be written, or ``tune`` left a module out.
    """
    filling = _Filling(library, wanted, tune)
    filling.run()
    modules = {name: filling.modules[name] for name in wanted}
    lists = filling.reused, filling.tuned, filling.redone
    return Filled(modules, *lists, filling.seconds, filling.cpu)


@dataclass
class _Filling:
    library: Library
    wanted: Mapping[str, Key]
    tune: Tune
    modules: dict[str, Module] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    tuned: list[str] = field(default_factory=list)
    redone: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    seconds: float = 0.0
    cpu: float = 0.0

    def run(self) -> None:
        for name in self.wanted:
            self._reuse(name)
        told = False
        while missing := self._missing():
            with ExitStack() as claims:
                self._tune(self._claim(missing, claims))
            if self._missing() == missing:  # all of them are others'
                if not told:
                    self.library.told(f"waiting for {_first(missing)}, which others are tuning")
                told = True
                time.sleep(POLL)

    def _missing(self) -> list[str]:
        return [name for name in self.wanted if name not in self.modules]

    def _reuse(self, name: str) -> bool:
        """Take what is kept, if it is whole; one that is not is told once."""
        try:
            module = self.library.read(self.wanted[name])
        except PrunusError as error:
            if name not in self.broken:
                self.library.told(f"{error}. It is made anew")
            self.broken.add(name)
            return False
        if module is not None:
            self.modules[name] = module
            self.reused.append(name)
        return module is not None

    def _claim(self, missing: list[str], claims: ExitStack) -> list[str]:
        """The names that are now to be tuned here: held, and not kept by now."""
        mine = list[str]()
        for name in missing:
            held = claims.enter_context(claim(self.library.path(self.wanted[name])))
            if not self._reuse(name) and held:
                mine.append(name)
            if len(mine) == CLAIMS:
                break
        return mine

    def _tune(self, names: list[str]) -> None:
        """Tune and keep, one by one."""
        began, cpu = time.perf_counter(), time.process_time()
        if names:
            for name, module in self.tune(names):
                self.modules[name] = self.library.put(self.wanted[name], module)
                (self.redone if name in self.broken else self.tuned).append(name)
        self.seconds += time.perf_counter() - began
        self.cpu += time.process_time() - cpu
        if left := [name for name in names if name not in self.modules]:
            raise PrunusError(f"tuning gave no module for {_first(left)}")


def _first(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
