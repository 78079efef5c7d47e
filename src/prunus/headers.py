"""Safetensors files, whose headers are checked before anything is allocated for them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor

from prunus.errors import PrunusError
from prunus.notation import load_json

LENGTH = 8
"""Bytes that say how long the header is."""
LONGEST = 2**24
"""Bytes of the longest header that is read; a tensor takes about a hundred."""
TENSORS = 2**17
DIMENSIONS = 32
LARGEST = 2**48
"""Of any one dimension, also where another is 0."""
METADATA = "__metadata__"
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16,
    "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64,
    "U64": 64, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What a file says before its data.

    Attributes:
        shapes: of its tensors.
        metadata: texts by name.
    """

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]

    @property
    def elements(self) -> int:
        """Of all tensors together."""
        return sum(map(math.prod, self.shapes.values()))


def header(path: Path) -> Header:
    """The header of a file, checked against the file's length.

    Raises:
        PrunusError: the file cannot be read, is no safetensors file, is cut off, or its header says
            sizes that do not agree with each other, or with the file.
    """
    try:
        if not path.is_file():
            raise PrunusError("no such file")
        with path.open("rb") as file:
            told = _length(file.read(LENGTH))
            text, whole = file.read(told), path.stat().st_size
    except OSError as error:
        raise PrunusError(f"{path}: not readable ({error.strerror})") from None
    except PrunusError as error:
        raise PrunusError(f"{path}: not readable ({error})") from None
    try:
        return _header(text, told, whole)
    except PrunusError as error:
        raise PrunusError(f"{path}: not readable ({error})") from None


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file.

    Raises:
        PrunusError: as :func:`header`.
    """
    header(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise PrunusError(f"{path}: not readable ({error})") from None


def decode(data: bytes) -> tuple[Header, dict[str, Tensor]]:
    """The header and the tensors of a file that was read.

    Raises:
        PrunusError: as :func:`header`.
    """
    told = _length(data[:LENGTH])
    found = _header(data[LENGTH : LENGTH + told], told, len(data))
    try:
        return found, load(data)
    except (SafetensorError, RuntimeError) as error:
        raise PrunusError(str(error)) from None


def _length(first: bytes) -> int:
    told = int.from_bytes(first, "little")
    if len(first) < LENGTH or told > LONGEST:
        raise PrunusError(f"no safetensors file, or one with a header of more than {LONGEST} bytes")
    return told


def _header(text: bytes, told: int, whole: int) -> Header:
    if len(text) != told:
        raise PrunusError(f"it ends within its header of {told} bytes")
    try:
        said = load_json(text)
    except ValueError as error:
        raise PrunusError(f"its header is no JSON: {error}") from None
    if not isinstance(said, dict) or len(said) > TENSORS:
        raise PrunusError(f"its header holds no tensors, or more than {TENSORS}")
    metadata = said.pop(METADATA, {})
    texts = isinstance(metadata, dict) and all(isinstance(one, str) for one in metadata.values())
    if not texts:
        raise PrunusError("its metadata are no texts")
    spans = {name: _span(name, own) for name, own in said.items()}
    _require_dense(spans, whole - LENGTH - told)
    return Header({name: tuple(own["shape"]) for name, own in said.items()}, metadata)


def _span(name: str, own: Any) -> tuple[int, int]:
    """Where a tensor's data begins and ends, behind the header."""
    try:
        bits, shape, (first, last) = BITS[own["dtype"]], own["shape"], own["data_offsets"]
        sizes = [*shape, first, last]
        whole = all(type(size) is int and 0 <= size <= LARGEST for size in sizes)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise PrunusError(f"{name[:80]!r}: no tensor that prunus knows ({error!r})") from None
    if not whole or len(shape) > DIMENSIONS or math.prod(shape) * bits != 8 * (last - first):
        raise PrunusError(f"{name[:80]!r}: its shape, type and place in the file do not agree")
    return first, last


def _require_dense(spans: Mapping[str, tuple[int, int]], size: int) -> None:
    """Check that tensors lie one behind the other, and fill the file."""
    end = 0
    for first, last in sorted(spans.values()):
        if first != end:
            raise PrunusError("tensors overlap, or there are gaps between them")
        end = last
    if end != size:
        raise PrunusError(f"its tensors take {end:,} bytes, and it has {size:,}")
