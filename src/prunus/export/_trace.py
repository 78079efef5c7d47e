"""Tracing by torch.export: sizes that may change stay symbols."""

import inspect
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._sympy.value_ranges import ValueRanges

from prunus.errors import PrunusError
from prunus.export._degenerate import replaced
from prunus.export._facts import Axis, Port
from prunus.export._graph import Graph, Tensors
from prunus.export._masks import reading_something
from prunus.export._unread import drop_unread

SYMBOL = re.compile(r"\bs\d+\b")


@dataclass(frozen=True, eq=False)
class Traced:
    """A graph as torch.export has it.

    Attributes:
        name: what it does.
        program: inputs and outputs have their names.
        inputs: by name, in order.
        outputs: by name, in order.
    """

    name: str
    program: ExportedProgram
    inputs: dict[str, Port]
    outputs: dict[str, Port]

    @property
    def stem(self) -> str:
        """Of its file, as others call such files: ``model``, ``encoder_model``."""
        return self.name if self.name == "model" else f"{self.name}_model"


def trace(graph: Graph) -> Traced:
    """Trace a graph.

    Raises:
        PrunusError: its module does what cannot be traced, or only for the example's sizes.
    """
    given = {parameter(name): own.contiguous() for name, own in graph.example.items()}
    free = {parameter(name): axes for name, axes in graph.axes.items()}
    shapes = {name: dict.fromkeys(free.get(name, {}), Dim.AUTO) for name in given}
    try:
        with exporting(), reading_something(), torch.no_grad(), replaced(graph.module):
            program = torch.export.export(
                _flat(graph), (), given, dynamic_shapes=shapes, strict=False
            )
    except Exception as error:  # whatever a model's code and torch's tracer raise
        raise PrunusError(f"the {graph.name} cannot be traced: {error}") from error
    _widen(program)
    drop_unread(program)
    return Traced(graph.name, program, *_ports(graph, program))


def _widen(program: ExportedProgram) -> None:
    """Let sizes be 0 and 1, which tracing excludes; the comparison with torch tells if they may."""
    ranges = program.range_constraints
    ranges.update({size: ValueRanges(0, found.upper) for size, found in ranges.items()})


def parameter(name: str) -> str:
    """An input's name as Python spells parameters: ``past_key_values_0_key``."""
    return name.replace(".", "_")


@contextmanager
def exporting() -> Iterator[None]:
    """The state in which programs are traced and converted.

    Exporters keep what they have to say of their insides to themselves. Attention lays its outcome
    out as its definition does: kernels differ in that, and copies that one of them makes needless
    would be left out for all.
    """
    below = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(StringIO()),
            sdpa_kernel(SDPBackend.MATH),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(below)


def _flat(graph: Graph) -> nn.Module:
    """The module with its inputs as parameters of its forward pass, as tracing wants them."""
    outer = nn.Module()
    outer.inner = graph.module

    def forward(**inputs: Tensor) -> dict[str, Tensor]:
        given = {name: inputs[parameter(name)] for name in graph.example}
        _agree(graph, given)
        return graph.module(**given)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [inspect.Parameter(parameter(name), kind) for name in graph.example]
    vars(forward)["__signature__"] = inspect.Signature(names)
    outer.forward = forward
    return outer


def _agree(graph: Graph, inputs: Tensors) -> None:
    """Let axes of one name have one size."""
    sizes: dict[str, int] = {}
    for name, axes in graph.axes.items():
        for axis, called in axes.items():
            size = inputs[name].shape[axis]
            torch._check(sizes.setdefault(called, size) == size)


def _ports(graph: Graph, program: ExportedProgram) -> tuple[dict[str, Port], dict[str, Port]]:
    """Inputs and outputs, whose sizes have the names that the graph gives them.

    Raises:
        PrunusError: a size that may change became a constant.
    """
    nodes = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
    signature = program.graph_signature
    into = dict(zip(graph.example, (nodes[name] for name in signature.user_inputs), strict=True))
    symbols = {}
    for name, axes in graph.axes.items():
        for axis, called in axes.items():
            if isinstance(into[name].shape[axis], int):
                raise PrunusError(
                    f"the {graph.name} runs for the {called} of its example alone: its code makes a"
                    f" constant of axis {axis} of {name}"
                )
            symbols.setdefault(str(into[name].shape[axis]), called)
    with torch.no_grad():
        names = list(graph.module(**graph.example))
    out = dict(zip(names, (nodes[str(name)] for name in signature.user_outputs), strict=True))
    ports = ({k: _port(own, symbols) for k, own in side.items()} for side in (into, out))
    return tuple(ports)  # pyright: ignore[reportReturnType]


def _port(tensor: Tensor, symbols: Mapping[str, str]) -> Port:
    axes: list[Axis] = [
        size if isinstance(size, int) else SYMBOL.sub(lambda s: symbols.get(s[0], s[0]), str(size))
        for size in tensor.shape
    ]
    return Port(axes=tuple(axes), dtype=str(tensor.dtype).removeprefix("torch."))
