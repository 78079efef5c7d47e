"""A tuned module, and the bytes that it is kept as."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from prunus import headers
from prunus.digest import digest
from prunus.errors import PrunusError
from prunus.formats import Format
from prunus.library._key import VERSION, Key, canonical, sha256
from prunus.notation import load_json
from prunus.plan import pack, unpack

FORMAT = Format("library entry", VERSION)
ABOUT = "prunus"
"""The header's key of the JSON that says what an entry is."""
MASK = ":mask"
"""The packed mask among the tensors: no parameter has a colon in its name."""
FAULTS = (ValueError, LookupError, TypeError, AttributeError, RuntimeError)
"""What reading a file that is no entry, or is damaged, can raise."""


@dataclass(frozen=True)
class Module:
    """What one site's units live in, under a mask, tuned.

    Attributes:
        site: the name of the site.
        kind: the kind of the site.
        density: the fraction of its units that stays.
        mask: [*grid] bool, True = the unit stays.
        tensors: {parameter: its value in the cut model}.
        figures: what was measured, in values that JSON can hold; shown are ``model`` (a name of the
            dense one), ``pruned`` and ``tuned`` (errors before and after).
    """

    site: str
    kind: str
    density: float
    mask: Tensor
    tensors: Mapping[str, Tensor]
    figures: Mapping[str, Any]


def encode(key: Key, module: Module) -> bytes:
    """A safetensors file whose header holds the key, the figures, and a hash of all.

    Raises:
        PrunusError: the key is that of another site.
    """
    if (module.site, module.kind) != (key.site, key.kind):
        raise PrunusError(f"the key of {key.site} ({key.kind}) is not that of {module.site}")
    tensors = {
        name: own.detach().cpu().contiguous().clone() for name, own in module.tensors.items()
    }
    tensors[MASK] = pack(module.mask)
    about = {
        "format": VERSION,
        "key": key.parts(),
        "density": module.density,
        "shape": list(module.mask.shape),
        "figures": dict(module.figures),
        "versions": {"prunus": version("prunus"), "torch": torch.__version__},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    about["sha256"] = _seal(about, tensors)
    return save(tensors, metadata={ABOUT: canonical(about)})


def decode(data: bytes, digest: str) -> Module:
    """The module in the bytes of an entry.

    Args:
        data: the whole file.
        digest: of the key that it must have.

    Raises:
        PrunusError: it is no entry, has another format or key, or is damaged.
    """
    try:
        header, tensors = headers.decode(data)
        about = _about(header.metadata, digest)
        told = about.pop("sha256", None)
        if told != _seal(about, tensors):
            raise PrunusError("its content is not what was written: damaged, or changed since")
        mask = unpack(tensors.pop(MASK), about["shape"])
        key = about["key"]
        return Module(key["site"], key["kind"], about["density"], mask, tensors, about["figures"])
    except FAULTS as error:
        raise _unreadable(error) from None


def header(path: Path) -> dict[str, Any]:
    """What the header of an entry says, beside its tensors, which are not read.

    Raises:
        PrunusError: it is no entry, has another format or key, or is not whole; like
            :func:`decode`, it does not name the file.
    """
    try:
        return _about(headers.header(path).metadata, path.stem)
    except FAULTS as error:
        raise PrunusError(str(_unreadable(error)).removeprefix(f"{path}: ")) from None


def _about(metadata: Mapping[str, str], digest: str) -> dict[str, Any]:
    about = FORMAT.current(load_json(metadata[ABOUT]))
    if sha256(about["key"]) != digest:
        raise PrunusError("it is the entry of another key")
    return about


def _seal(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    return sha256([about, digest(tensors)])


def _unreadable(error: Exception) -> PrunusError:
    return error if isinstance(error, PrunusError) else PrunusError(f"not readable ({error})")
