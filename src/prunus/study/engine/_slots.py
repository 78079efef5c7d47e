"""A pool of slots on a Ray cluster: as many as it has room for, each with one task at a time."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.study.engine import _process
from prunus.study.engine._pool import Event, Pool
from prunus.study.engine._slot import PIECE, Outcome, Slot, Token
from prunus.study.engine._task import Files, Place, Task

PENDING = 8
"""Slots that wait for room; a cluster that grows on demand sees them."""
STARTS = 10
"""How often a slot that is lost before it stands is asked for anew."""
POLL = 1.0
"""Seconds of waiting before others have a say."""


@dataclass(eq=False)
class _Busy:
    """A slot with its task; it has no node until it stands on one."""

    actor: Any
    task: Task
    awaited: Any
    node: str = ""
    starts: int = 1


class Slots(Pool):
    """Slots on a cluster, each an actor that goes with this process.

    Nobody hears a slot that was lost any more. Should it still work, the next one waits for the
    task's lock, and finds it done or goes on with it.
    """

    def __init__(
        self,
        ray: Any,
        place: Place,
        options: dict[str, Any],
        threads: int,
        limit: int | None,
        session: ExitStack,
    ) -> None:
        """Slots with ``options`` each, at most ``limit``; the session is closed with the pool."""
        self._ray, self._place, self._limit, self._session = ray, place, limit, session
        token = Token(place.out / f".seen-{secrets.token_hex(8)}", secrets.token_hex(16))
        write_bytes(token.path, token.text.encode())
        session.callback(token.path.unlink, missing_ok=True)
        # Ray prints what becomes of its workers; the terminal is the study's
        session.enter_context(redirect_stdout(session.enter_context(place.log.open("a"))))
        made = ray.remote(max_restarts=0, max_concurrency=2, **options)(Slot)
        self._made: Callable[[], Any] = lambda: made.remote(
            place, token, threads, _process.PRELOADED
        )
        self._busy, self._idle, self._begun = list[_Busy](), list[_Busy](), list[_Busy]()

    @property
    def room(self) -> bool:
        """Whether a slot is idle, or another one may be asked for."""
        pending = sum(not one.node for one in self._busy)
        more = self._limit is None or len(self._busy) < self._limit
        return bool(self._idle) or (more and pending < PENDING)

    @property
    def busy(self) -> bool:
        """Whether a task has not ended yet."""
        return bool(self._busy)

    def start(self, task: Task) -> None:
        """Give a task to an idle slot, or to a new one."""
        if self._idle:
            self._run(self._idle.pop(), task)
        else:
            self._ask(task)

    def wait(self) -> Iterator[Event]:
        """What has happened, see :meth:`Pool.wait`.

        Raises:
            PrunusError: a machine has another version of prunus.
        """
        self._spare()
        while self._begun:
            one = self._begun.pop(0)
            yield Event(one.task, one.node)
        ready, _ = self._ray.wait([one.awaited for one in self._busy], timeout=POLL)
        for one in [own for own in self._busy if own.awaited in ready]:
            yield from self._heard(one)

    def close(self) -> None:
        """End what runs, give the slots back, leave the cluster."""
        try:
            told = [one.actor.end.remote() for one in self._busy if one.node]
            if told:
                self._ray.wait(told, num_returns=len(told), timeout=_process.GRACE + POLL)
            for one in [*self._busy, *self._idle]:
                self._ray.kill(one.actor)
        finally:
            self._session.close()

    def _spare(self) -> None:
        """Idle slots, for which there is no task left, take those of slots that still wait."""
        waiting = [one for one in self._busy if not one.node]
        for idle in self._idle:
            if waiting:
                late = waiting.pop()
                self._drop(late)
                self._run(idle, late.task)
            else:
                self._ray.kill(idle.actor)
        self._idle.clear()

    def _ask(self, task: Task, starts: int = 1) -> None:
        """Ask for a new slot, which may have to wait for room."""
        actor = self._made()
        self._busy.append(_Busy(actor, task, actor.hello.remote(), starts=starts))

    def _run(self, one: _Busy, task: Task) -> None:
        one.task, one.awaited = task, one.actor.run.remote(task)
        self._begun.append(one)
        if one not in self._busy:
            self._busy.append(one)

    def _heard(self, one: _Busy) -> Iterator[Event]:
        """A slot stands on its node, or its task ended, or it is lost."""
        errors = self._ray.exceptions
        try:
            said = self._ray.get(one.awaited)
            if not isinstance(said, Outcome):
                self._stands(one, *said)
                return
            why = said.why or self._fetched(one, said)
        except errors.RayTaskError as error:
            self._drop(one)
            yield Event(one.task, one.node, ended=True, why=_last(error))
        except errors.RayError as error:
            self._drop(one)
            broken = getattr(error, "actor_init_failed", False)
            if not (one.node or broken) and one.starts < STARTS:  # the task has not begun
                self._ask(one.task, one.starts + 1)
                return
            why = _last(error) if broken else _reason(error)
            yield Event(one.task, one.node, ended=True, why=why, lost=not broken)
        else:
            self._busy.remove(one)
            self._idle.append(one)
            yield Event(one.task, one.node, ended=True, why=why, lost=said.lost)

    def _stands(self, one: _Busy, node: str, theirs: str) -> None:
        if theirs != version("prunus"):
            raise PrunusError(
                f"{node} has prunus {theirs}, and this machine {version('prunus')}: install the"
                " same version everywhere"
            )
        one.node = node
        self._run(one, one.task)

    def _fetched(self, one: _Busy, said: Outcome) -> str:
        """Get what was made on a machine that does not see the folder; why it cannot be had."""
        if said.log:
            with self._place.log.open("ab") as log:
                log.write(said.log)
        if not said.files:
            return ""
        try:
            one.task.take(self._files(one, said), self._place.out)
        except (PrunusError, OSError) as error:
            return str(error)
        return ""

    def _files(self, one: _Busy, said: Outcome) -> Files:
        for name, size in said.files.items():
            yield name, self._pieces(one, name, size)

    def _pieces(self, one: _Busy, name: str, size: int) -> Iterator[bytes]:
        for begin in range(0, size, PIECE):
            yield self._ray.get(one.actor.piece.remote(name, begin))

    def _drop(self, one: _Busy) -> None:
        self._busy.remove(one)
        self._ray.kill(one.actor)


def _last(error: Exception) -> str:
    """What an error of Python says in the end."""
    return str(error).strip().splitlines()[-1]


def _reason(error: Exception) -> str:
    """Why a slot was lost, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "because" in line), lines[0])
    return told.partition(" Some common causes")[0].removesuffix(".")
