"""What least squares needs at one reader: Gram matrix and cross moments, summed in float64."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prunus.probe._frozen import frozen
from prunus.probe._tokens import flat, real_tokens
from prunus.probe.loss import Batch
from prunus.site import Site


@dataclass
class Moments:
    """Sums over tokens of a reader's input x and of what its output should be, y.

    Attributes:
        gram: [inputs, inputs] sum of x x^T, float64.
        cross: [inputs, outputs] sum of x y^T, float64.
        x: [inputs] sum of x.
        y: [outputs] sum of y.
        tokens: how many tokens.
    """

    gram: Tensor
    cross: Tensor
    x: Tensor
    y: Tensor
    tokens: int

    @classmethod
    def zeros(cls, inputs: int, outputs: int, device: torch.device) -> "Moments":
        """Nothing seen yet."""
        empty = [
            torch.zeros(*shape, dtype=torch.float64, device=device)
            for shape in ((inputs, inputs), (inputs, outputs), (inputs,), (outputs,))
        ]
        return cls(*empty, tokens=0)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Count tokens x [token, inputs] with their targets y [token, outputs].

        Products are taken in float32 a chunk at a time and summed in float64: as exact as float64
        throughout where it matters, at the speed of float32.
        """
        x, y = (tensor.to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in (x, y))
        for part, goal in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
            self.gram += (part.T @ part).double()
            self.cross += (part.T @ goal).double()
        self.x += x.double().sum(0)
        self.y += y.double().sum(0)
        self.tokens += x.shape[0]


CHUNK = 8192


def moments(
    student: nn.Module, teacher: nn.Module, site: Site, batches: Iterable[Batch]
) -> Moments:
    """Gram matrix of a reader's input in the student, and cross moments with what it should add.

    The target is what makes the student's residual stream equal to the teacher's after this
    sublayer: y = (r_teacher + out_teacher) - r_student (K-prune, arXiv 2308.03449, eq. 12). Both
    models run in lockstep and stop where nothing more is needed, so nothing is stored.

    Args:
        student: the model being pruned, everything below the reader already repaired.
        teacher: the dense model.
        site: a site with a reader and a residual.
        batches: mappings of keyword arguments.
    """
    weight = student.get_parameter(site.inlet.tensor)
    found = Moments.zeros(weight.shape[1], weight.shape[0], weight.device)
    with frozen(student), frozen(teacher), torch.no_grad():
        for batch in batches:
            x, below = _run_to(student, site, batch, before=True)
            out, above = _run_to(teacher, site, batch, before=False)
            real = real_tokens(batch, site.name, x)
            found.add(flat(x, real), flat(above + out - below, real))
    return found


class _Enough(Exception):
    """Stops a forward pass."""


def _run_to(model: nn.Module, site: Site, batch: Batch, *, before: bool) -> tuple[Tensor, Tensor]:
    """(reader's input or output, residual stream) of a pass that stops at the reader."""
    seen: dict[str, Tensor] = {}

    def see_stream(_: nn.Module, args: tuple[Any, ...]) -> None:
        seen["stream"] = args[0]

    def stop_before(_: nn.Module, args: tuple[Any, ...]) -> None:
        seen["reader"] = args[0]
        raise _Enough

    def stop_after(_: nn.Module, __: Any, out: Tensor) -> None:
        seen["reader"] = out
        raise _Enough

    reader = model.get_submodule(site.reader)
    stream = model.get_submodule(site.residual)
    handles = [
        stream.register_forward_pre_hook(see_stream),
        reader.register_forward_pre_hook(stop_before)
        if before
        else reader.register_forward_hook(stop_after),
    ]
    try:
        with suppress(_Enough):
            model(**batch)
    finally:
        for handle in handles:
            handle.remove()
    return seen["reader"], seen["stream"]
