"""The names and shapes of a model's tensors; tied names are one storage, counted once."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from torch import nn
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class Tensors:
    """Shapes by name, every tensor once, and the other names that tied tensors go by.

    ``linears`` are the weights of projections, ``transposed`` those of them that are
    [inputs, outputs].
    """

    shapes: dict[str, tuple[int, ...]]
    aliases: dict[str, str]
    buffers: frozenset[str]
    linears: frozenset[str]
    transposed: frozenset[str]

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
        linears, transposed = (
            frozenset(f"{name}.weight" for name, m in model.named_modules() if isinstance(m, kinds))
            for kinds in ((nn.Linear, Conv1D), Conv1D)
        )
        return cls(shapes, aliases, frozenset(buffers), linears, transposed)

    def owner(self, name: str) -> str | None:
        """The name under which a tensor is counted, or None where there is no such tensor."""
        return self.aliases.get(name)

    def outputs(self, weight: str) -> int:
        """The axis of a projection's weight that its outputs lie on."""
        return int(weight in self.transposed)

    def under(self, prefix: str) -> list[str]:
        """The tensors below a module."""
        return [name for name in self.shapes if name.startswith(f"{prefix}.")]

    def parameters(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """(name, shape) of every parameter, tied ones once, buffers left out."""
        return ((n, s) for n, s in self.shapes.items() if n not in self.buffers)

    def matrices(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """(name, shape) of the weight of every projection."""
        return ((name, self.shapes[name]) for name in self.shapes if name in self.linears)
