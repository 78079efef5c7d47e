"""Second moments of readers' inputs, each token weighed by how much the answer depends on it."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from prunus import ranks
from prunus.gram import Moments, root, total
from prunus.probe.directions import Directions
from prunus.probe.loss import Batch
from prunus.site import Site


@dataclass
class Curvature:
    """How the answer's divergence curves in the output of one reader.

    The loss of an error dy_t in the outputs is about the sum over tokens of w_t dy_t^T A dy_t, with
    d_t the gradient of a direction (:class:`Directions`) in the output, w_t = (1 - g) |d_t|^2 + g
    mean |d|^2 over the batch's tokens that are read at all, and A = (1 - g) sum d d^T /
    sum |d|^2 + g I / outputs.

    Attributes:
        inputs: moments of the reader's input under the weights w, as long as they are kept.
        outer: [outputs, outputs] sum of d d^T.
        smoothing: g.
    """

    inputs: Moments
    outer: Tensor
    smoothing: float

    @cached_property
    def root(self) -> Tensor:
        """[outputs, outputs] A^1/2; to be asked for when everything has been counted."""
        return root(self.metric)

    @property
    def metric(self) -> Tensor:
        """[outputs, outputs] A."""
        size = len(self.outer)
        own = self.outer / self.outer.trace().clamp_min(1e-30)
        flat = torch.eye(size, dtype=own.dtype, device=own.device) / size
        return (1 - self.smoothing) * own + self.smoothing * flat

    def total(self) -> None:
        """Take in what the other ranks have seen."""
        self.inputs = total(self.inputs) or self.inputs
        self.outer = ranks.total({"outer": self.outer})["outer"]

    def add(self, x: Tensor, gradients: list[Tensor]) -> None:
        """Count one batch: x [sample, token, inputs], gradients of [sample, token, outputs]."""
        square = torch.stack([g.double().square().sum(-1) for g in gradients]).sum(0)
        read = square > 0
        if not read.any():
            return
        square = square[read]
        weight = (1 - self.smoothing) * square + self.smoothing * square.mean()
        self.inputs.add(x[read], weight=weight)
        for g in gradients:
            g = g[read].float()
            self.outer += (g.T @ g).double()


@dataclass
class Tape:
    """What one batch's forward pass leaves for the way back: inputs and outputs of every reader."""

    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)


def curvatures(
    model: nn.Module, sites: Mapping[str, Site], smoothing: float
) -> dict[str, Curvature]:
    """Nothing seen yet, for every reader."""
    found = {}
    for site in sites.values():
        weight, axis = model.get_parameter(site.inlet.tensor), site.inlet.axis
        inputs, outputs = weight.shape[axis], weight.shape[1 - axis]
        zeros = Moments.zeros(inputs, 0, weight.device)
        outer = torch.zeros(outputs, outputs, dtype=torch.float64, device=weight.device)
        found[site.reader] = Curvature(zeros, outer, smoothing)
    return found


def look_back(
    model: nn.Module, batch: Batch, found: Mapping[str, Curvature], directions: Directions
) -> None:
    """One forward pass over a batch and one backward pass a direction; weights must be frozen."""
    tape = Tape()
    with ExitStack() as undo, torch.enable_grad():
        for path in found:
            hook = partial(_record, tape, path)
            undo.callback(model.get_submodule(path).register_forward_hook(hook).remove)
        scalars = list(directions(model(**batch), batch))
    outputs = list(tape.outputs.values())
    gradients = [
        torch.autograd.grad(
            scalar, outputs, retain_graph=scalar is not scalars[-1], allow_unused=True
        )
        for scalar in scalars
    ]
    for index, (path, x) in enumerate(tape.inputs.items()):
        own = [g[index] for g in gradients if g[index] is not None]
        with torch.autocast(x.device.type, enabled=False):
            if own:
                found[path].add(x, own)


def _record(tape: Tape, path: str, _: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
    if not out.requires_grad:
        out.requires_grad_()
    tape.inputs[path], tape.outputs[path] = args[0].detach(), out
