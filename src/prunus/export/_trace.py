"""Tracing by torch.export: sizes that may change stay symbols."""

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from transformers.pytorch_utils import Conv1D

from prunus.errors import PrunusError
from prunus.export._facts import Axis, Port
from prunus.export._graph import Graph


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


def trace(graph: Graph) -> Traced:
    """Trace a graph.

    Raises:
        PrunusError: its module does what cannot be traced, or only for the example's sizes.
    """
    shapes = {name: dict.fromkeys(graph.axes.get(name, {}), Dim.DYNAMIC) for name in graph.example}
    try:
        with quiet(), torch.no_grad(), _emptied(graph.module):
            program = torch.export.export(
                _flat(graph), (), dict(graph.example), dynamic_shapes=shapes, strict=False
            )
    except Exception as error:  # whatever a model's code and torch's tracer raise
        raise PrunusError(f"the {graph.name} cannot be traced: {error}") from error
    return Traced(graph.name, program, *_ports(graph, program))


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters say of their own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _flat(graph: Graph) -> nn.Module:
    """The module with its inputs as parameters of its forward pass, as tracing wants them."""
    outer = nn.Module()
    outer.inner = graph.module

    def forward(**inputs: Tensor) -> dict[str, Tensor]:
        return graph.module(**inputs)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [inspect.Parameter(name, kind) for name in graph.example]
    vars(forward)["__signature__"] = inspect.Signature(names)
    outer.forward = forward
    return outer


@contextmanager
def _emptied(model: nn.Module) -> Iterator[None]:
    """Layers without inputs say their bias: not every runtime multiplies by nothing."""
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, nn.Linear | Conv1D) and not module.weight.numel():
                stack.enter_context(patch.object(module, "forward", _constant(module)))
        yield


def _constant(module: Any) -> Callable[[Tensor], Tensor]:
    outputs = module.weight.shape[1 if isinstance(module, Conv1D) else 0]

    def forward(x: Tensor) -> Tensor:
        rows = x[..., :1] if x.shape[-1] else x.sum(-1, keepdim=True)
        bias = rows.new_zeros(outputs) if module.bias is None else module.bias
        return bias.expand(*rows.shape[:-1], outputs)

    return forward


def _ports(graph: Graph, program: ExportedProgram) -> tuple[dict[str, Port], dict[str, Port]]:
    nodes = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
    signature = program.graph_signature
    into = dict(zip(graph.example, signature.user_inputs, strict=True))
    symbols = {
        str(nodes[into[name]].shape[axis]): called
        for name, axes in graph.axes.items()
        for axis, called in axes.items()
    }
    with torch.no_grad():
        names = list(graph.module(**graph.example))
    out = dict(zip(names, signature.user_outputs, strict=True))
    return tuple(
        {name: _port(nodes[str(node)], symbols) for name, node in side.items()}
        for side in (into, out)
    )  # pyright: ignore[reportReturnType]


def _port(tensor: Tensor, symbols: Mapping[str, str]) -> Port:
    axes: list[Axis] = [
        size if isinstance(size, int) else symbols.get(str(size), str(size))
        for size in tensor.shape
    ]
    return Port(axes=tuple(axes), dtype=str(tensor.dtype).removeprefix("torch."))
