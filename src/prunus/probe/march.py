"""Two models side by side: every batch's pass waits at the next reader until it is mended."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from types import MethodType
from typing import Any
from weakref import ref

import torch
from greenlet import getcurrent
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from prunus import ranks
from prunus.edit import emptiable
from prunus.edit._frozen import frozen
from prunus.errors import PrunusError
from prunus.gram import Moments, total
from prunus.probe._room import Room
from prunus.probe._suspended import Suspended
from prunus.probe._tokens import flat, real_tokens
from prunus.probe.loss import Batch
from prunus.site import Site

Computing = Callable[[], AbstractContextManager[Any]]


class March:
    """Student and teacher go through all batches in lockstep, from reader to reader.

    Each batch's forward pass is suspended in the middle (a greenlet), so that what a reader sees
    is computed once, with everything below it already mended, whatever the model's code is. Other
    passes through the same models may run meanwhile. Attentions, which hold much more than they
    give, are not left waiting: they are tried out up to the reader, and run when it is mended.
    Use as a context manager.

    Attributes:
        passing: whether passes only go on, and what they show is not summed up.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        batches: Iterable[Batch],
        readers: Iterable[Site],
        *,
        entries: bool = False,
        room: Room | None = None,
        computing: Computing = nullcontext,
    ) -> None:
        """Make ready.

        Args:
            student: the model that is mended on the way, in place.
            teacher: the model that it is held to.
            batches: mappings of keyword arguments, the same on every rank, each of which takes its
                share through the models; moments are those of all.
            readers: one site for every reader to stop at, in forward order; at grids in linear
                layers only the student stops.
            entries: whether to stop at what a sublayer reads, too.
            room: where the passes' tensors wait; None is memory.
            computing: a context for the forward passes, such as autocast.
        """
        self.student, self.teacher = student, teacher
        self.readers = list(readers)
        self.entries, self.room, self.computing = entries, room, computing
        self._pairs = [
            (Suspended(student, batch, room), Suspended(teacher, batch, room))
            for batch in ranks.own(batches)
        ]
        self._passes = {run.let: run for pair in self._pairs for run in pair}
        self._shared: tuple[list[ref[Tensor]], Moments | None] = [], None
        self._undo = ExitStack()
        self.passing = False

    def __enter__(self) -> "March":
        """Set the hooks."""
        for model in (self.student, self.teacher):
            self._undo.enter_context(frozen(model))
        for site in self.readers:
            if not site.has_inlet:
                self._before(self.student, site.reader, _stop_at_reader, site)
                continue
            self._emptiable(self.student.get_submodule(site.reader))
            producer = next(iter(site.producers))
            self._before(self.student, site.residual, _see_stream, site)
            if self.entries:
                self._before(self.student, producer, _stop_at_entry, site)
            if _holds_much(site):
                self._try_first(site)
            self._before(self.student, site.reader, _stop_at_reader, site)
            self._before(self.teacher, site.residual, _pause_and_see_stream, site)
            if self.entries:
                self._before(self.teacher, producer, _see_input, site)
            self._after(self.teacher, site.reader, site)
        return self

    def __exit__(self, *_: object) -> None:
        """Take the hooks back and let the suspended passes go."""
        self._undo.close()
        for run in self._passes.values():
            run.end()

    def entry(self, site: Site) -> Moments:
        """Moments of what a sublayer reads in the student, and of what it reads in the teacher."""
        return self._moments(site, "entry")

    def reader(self, site: Site) -> Moments:
        """Moments of a reader's input in the student, and of what the reader should add.

        The target is what makes the student's residual stream equal to the teacher's after this
        sublayer: y = (r_teacher + out_teacher) - r_student (K-prune, arXiv 2308.03449, eq. 12).

        Args:
            site: the next reader.
        """
        return self._moments(site, "reader")

    def inputs(self, site: Site) -> Moments:
        """Moments of a linear layer's input in the student; layers that share it share them.

        Of a layer that a pass calls several times, the first call counts.

        Args:
            site: the next reader, a grid in a linear layer's weight.
        """
        seen = [self._input(site, student) for student, _ in self._pairs]
        before, moments = self._shared
        again = moments is not None and all(x is y() for x, y in zip(seen, before, strict=True))
        if moments is None or not ranks.number(again):  # an empty share cannot tell
            moments = self._summed(site, ((x, x[..., :0]) for x in seen))
            self._shared = [ref(x) for x in seen], None if self.passing else moments
        return moments

    def advance(self, stays: Tensor) -> None:
        """Let the student go on from a reader with the inputs that stay, [inputs] bool."""
        device = next(self.student.parameters()).device
        for student, _ in self._pairs:
            student.answer = None if stays.all() else stays.to(device)

    def _moments(self, site: Site, stop: str) -> Moments:
        return self._summed(site, (self._both(site, stop, *pair) for pair in self._pairs))

    def _summed(self, site: Site, seen: Iterable[tuple[Tensor, Tensor]]) -> Moments:
        """The moments of (x, y) of every batch."""
        found: Moments | None = None
        for (student, _), (x, y) in zip(self._pairs, seen, strict=True):
            real = real_tokens(student.batch, site.name, x)
            x, y = flat(x, real), flat(y, real)
            if found is None:
                found = Moments.zeros(x.shape[-1], y.shape[-1], x.device)
            if not self.passing:
                found.add(x, y)
            if self.room is not None:
                self.room.rest()
        every = total(found)
        if every is None:
            raise PrunusError("no batches: the calibration data is empty")
        return every

    def _both(
        self, site: Site, stop: str, student: Suspended, teacher: Suspended
    ) -> tuple[Tensor, Tensor]:
        """What the student has at a stop, and what it should be."""
        with torch.no_grad(), self.computing():
            teacher.run_to(f"reader {site.name}")
            student.run_to(f"{stop} {site.name}")
        if stop == "entry":
            return student.seen["input"], teacher.seen["input"]
        return student.seen.pop("x"), teacher.seen.pop("goal") - student.seen["stream"]

    def _input(self, site: Site, student: Suspended) -> Tensor:
        with torch.no_grad(), self.computing():
            student.run_to(f"reader {site.name}")
        return student.seen.pop("x")

    def _emptiable(self, reader: nn.Module) -> None:
        """Let a transposed reader go on without inputs: it may lose them all while it waits."""
        if type(reader) is Conv1D:
            emptiable(reader)
            self._undo.callback(_as_stock, reader)

    def _before(self, model: nn.Module, path: str, look: "Look", site: Site) -> None:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> Any:
            run = self._passing()
            return None if run is None or run.is_past(site.name) else look(run, site, args[0])

        self._undo.callback(model.get_submodule(path).register_forward_pre_hook(hook).remove)

    def _try_first(self, site: Site) -> None:
        """A block's forward goes as far as the reader, waits until it is mended, and begins."""
        block: Any = self.student.get_submodule(site.block)

        def forward(own: Any, *args: Any, **kwargs: Any) -> Any:
            run = self._passing()
            if run is not None:
                run.try_out(partial(type(own).forward, own, *args, **kwargs))
                run.wait(f"reader {site.name}")
                run.pass_by(site.name)
            return type(own).forward(own, *args, **kwargs)

        # a hook would come too late, as mending may change the class; a method, as copies are made
        block.forward = MethodType(forward, block)
        self._undo.callback(delattr, block, "forward")

    def _after(self, model: nn.Module, path: str, site: Site) -> None:
        def hook(_: nn.Module, __: Any, out: Tensor) -> None:
            run = self._passing()
            if run is not None:
                _see_goal(run, site, out, last=site is self.readers[-1])

        self._undo.callback(model.get_submodule(path).register_forward_hook(hook).remove)

    def _passing(self) -> Suspended | None:
        """The pass that runs now, if it is one of ours."""
        here = getcurrent()
        return self._passes.get(here) or self._passes.get(here.parent or here)


def _as_stock(reader: Any) -> None:
    if len(reader.weight):
        reader.__class__ = Conv1D


Look = Callable[[Suspended, Site, Tensor], Any]


def _holds_much(site: Site) -> bool:
    """Whether a pass that waits at the reader holds queries, keys, values and probabilities."""
    return site.reader.startswith(f"{site.block}.") and len(site.weights) > GATED


GATED = 3
"""Weights of a gated feed-forward part; attentions have more."""


def _see_stream(run: Suspended, _: Site, x: Tensor) -> None:
    run.see("stream", x)


def _see_input(run: Suspended, _: Site, x: Tensor) -> None:
    run.see("input", x)


def _stop_at_entry(run: Suspended, site: Site, x: Tensor) -> Any:
    run.see("input", x)
    return run.wait(f"entry {site.name}")


def _stop_at_reader(run: Suspended, site: Site, x: Tensor) -> Any:
    if run.is_trying:
        run.seen["x"] = x
        run.tried()
    run.see("x", x)
    stays = run.wait(f"reader {site.name}")
    return None if stays is None else (x[..., stays],)


def _pause_and_see_stream(run: Suspended, _: Site, x: Tensor) -> None:
    """A teacher waits only when its next sublayer begins: by then the last one's input is freed."""
    run.see("next", x)
    if run.at:
        run.main.switch()
    run.seen["stream"] = run.seen.pop("next")


def _see_goal(run: Suspended, site: Site, out: Tensor, *, last: bool) -> None:
    run.see("goal", run.seen["stream"] + out)
    run.at = f"reader {site.name}"
    if last:
        run.main.switch()
