"""One batch's forward pass through one model, which can wait in its middle."""

from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

from greenlet import getcurrent, greenlet
from torch import Tensor, nn

from prunus.errors import PrunusError
from prunus.probe._room import Room
from prunus.probe.loss import Batch


class Suspended:
    """A forward pass in a greenlet.

    Attributes:
        batch: what goes in.
        seen: what was met on the way, by name.
        at: where it waits.
        answer: what it is told when it goes on.
        let: the greenlet of the pass.
    """

    def __init__(self, model: nn.Module, batch: Batch, room: Room | None) -> None:
        """Make ready; :meth:`run_to` starts it."""
        self.batch, self.room = batch, room
        self.seen: dict[str, Tensor] = {}
        self.at = ""
        self.answer: Tensor | None = None
        self.main = getcurrent()
        self.let = self._now = greenlet(partial(model, **batch))
        self._past: set[str] = set()
        self._lasting = {id(tensor) for tensor in (*batch.values(), *model.buffers())}

    @property
    def is_trying(self) -> bool:
        """Whether what runs, or waits, is only tried out."""
        return self._now is not self.let

    def see(self, name: str, tensor: Tensor) -> None:
        """Remember a tensor; where room is scarce its memory is swapped for a file's."""
        self.seen[name] = tensor if self.room is None else self.room.put(tensor)

    def wait(self, at: str) -> Tensor | None:
        """Inside the pass: wait here, for an answer."""
        self.at = at
        self.main.switch()
        answer, self.answer = self.answer, None
        return answer

    def run_to(self, stop: str) -> None:
        """Outside of it: let it run until it waits at a stop."""
        while self.at != stop:
            self._now.switch()
            if self.let.dead:
                raise PrunusError(f"the model's forward pass ended before {stop}: is it used?")
        if self.room is not None:
            for tensor in _held(self.let.gr_frame):
                if id(tensor) not in self._lasting:
                    self.room.put(tensor)

    def try_out(self, call: Callable[[], Any]) -> None:
        """Inside the pass: carry a call out until it is :meth:`tried`, then undo it."""
        trial = self._now = greenlet(call)
        trial.switch()
        if trial.dead:
            raise PrunusError(f"the model's forward pass ended beyond {self.at}: is it used?")
        self._stop_trying()

    def tried(self) -> None:
        """Inside what is tried out: enough."""
        self.let.switch()

    def is_past(self, name: str) -> bool:
        """Whether a site's stops are behind."""
        return name in self._past

    def pass_by(self, name: str) -> None:
        """Do not stop at a site again."""
        self._past.add(name)

    def end(self) -> None:
        """Outside of it: let everything go."""
        self._stop_trying()
        if self.let:
            self.let.throw()
        self.seen.clear()

    def _stop_trying(self) -> None:
        """Free what an unfinished trial holds."""
        trial, self._now = self._now, self.let
        if trial is not self.let and trial:
            trial.parent = getcurrent()
            trial.throw()


def _held(frame: FrameType | None) -> Iterator[Tensor]:
    """What the functions of a waiting pass hold, weights left out."""
    while frame is not None:
        for value in list(frame.f_locals.values()):
            for one in value if isinstance(value, tuple | list) else (value,):
                if isinstance(one, Tensor) and not isinstance(one, nn.Parameter):
                    yield one
        frame = frame.f_back
