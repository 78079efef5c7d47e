"""One thing that is kept: what JSON can say of it, and tensors, in one file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor

from prunus import headers
from prunus.errors import PrunusError
from prunus.notation import load_json

T = TypeVar("T")
SAID = "said"


@dataclass(frozen=True)
class Kept:
    """A value on its way to the disk, or back.

    Attributes:
        said: what JSON can hold.
        tensors: by name.
    """

    said: Any = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, without it."""
        found = self.tensors.items()
        return {name.removeprefix(prefix): own for name, own in found if name.startswith(prefix)}

    def held(self) -> "Kept":
        """The same in memory of its own, so that nobody changes it."""
        own = {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in self.tensors.items()
        }
        return Kept(json.loads(json.dumps(self.said)), own)

    def encoded(self) -> bytes:
        """As a safetensors file."""
        return save(dict(self.tensors), metadata={SAID: json.dumps(self.said)})

    @classmethod
    def decoded(cls, data: bytes) -> "Kept":
        """From what such a file holds.

        Raises:
            KeyError, ValueError: it is no such file.
        """
        header, tensors = headers.decode(data)
        return cls(load_json(header.metadata[SAID]), tensors)

    @classmethod
    def read(cls, path: Path) -> "Kept":
        """From a file.

        Raises:
            PrunusError: it cannot be read.
        """
        try:
            said = load_json(headers.header(path).metadata[SAID])
            return cls(said, headers.read(path))
        except (KeyError, ValueError) as error:
            raise PrunusError(
                f"{path}: not a readable safe point ({error}); remove {path.parent} to begin anew"
            ) from None


def pack(value: Any) -> Kept:
    """A dataclass whose fields are tensors, or what JSON can hold."""
    found = {one.name: getattr(value, one.name) for one in fields(value)}
    tensors = {name: own for name, own in found.items() if isinstance(own, Tensor)}
    return Kept({name: own for name, own in found.items() if name not in tensors}, tensors)


def unpack(cls: type[T], kept: Kept) -> T:
    """A dataclass that was packed; lists are tuples again."""
    said = {name: tuple(own) if isinstance(own, list) else own for name, own in kept.said.items()}
    return cls(**said, **kept.tensors)
