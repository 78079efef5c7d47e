"""The names and shapes of a model's tensors; tied names are one storage, counted once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

WEIGHTED = (nn.Linear, Conv1D, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Modules whose weights patterns can mask; Conv1D, a linear layer of GPT-2, is transposed."""


@dataclass(frozen=True)
class Tensors:
    """Shapes by name, every tensor once, and the other names that tied tensors go by.

    ``weighted`` are the weights of linear layers and convolutions, with the names of their
    classes; ``head`` are the modules among them that lie outside of the model's base.
    """

    shapes: dict[str, tuple[int, ...]]
    aliases: dict[str, str]
    buffers: frozenset[str]
    weighted: dict[str, str]
    head: frozenset[str]

    @classmethod
    def of(cls, model: nn.Module) -> "Tensors":
        """Read a model: parameters, buffers, which of them are one."""
        first: dict[int, str] = {}
        shapes, aliases = {}, {}
        buffers = dict(model.named_buffers(remove_duplicate=False))
        for name, tensor in chain(model.named_parameters(remove_duplicate=False), buffers.items()):
            owner = first.setdefault(id(tensor), name)
            aliases[name] = owner
            if owner == name:
                shapes[name] = tuple(tensor.shape)
        kinds = {
            f"{name}.weight": kind.__name__
            for name, module in model.named_modules()
            for kind in WEIGHTED
            if isinstance(module, kind)
        }
        weighted = {name: kinds[name] for name in shapes if name in kinds}
        return cls(shapes, aliases, frozenset(buffers), weighted, _head(model, weighted))

    def owner(self, name: str) -> str | None:
        """The name under which a tensor is counted, or None where there is no such tensor."""
        return self.aliases.get(name)

    def outputs(self, weight: str) -> int:
        """The axis of a projection's weight that its outputs lie on."""
        return int(self.weighted.get(weight) == "Conv1D")

    def under(self, prefix: str) -> list[str]:
        """The tensors below a module."""
        return [name for name in self.shapes if name.startswith(f"{prefix}.")]

    def parameters(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """(name, shape) of every parameter, tied ones once, buffers left out."""
        return ((n, s) for n, s in self.shapes.items() if n not in self.buffers)


def _head(model: Any, weighted: Iterable[str]) -> frozenset[str]:
    """The weighted modules that lie outside of a transformers model's base, or the last one."""
    modules = [weight.removesuffix(".weight") for weight in weighted]
    if not hasattr(model, "base_model_prefix"):
        return frozenset(modules[-1:])
    base = f"{model.base_model_prefix}."
    if any(name.startswith(base) for name in modules):
        return frozenset(name for name in modules if not name.startswith(base))
    last = model.get_output_embeddings()
    return frozenset(n for n in modules if last is not None and model.get_submodule(n) is last)
