"""Which units stay: a plan is a value that can be printed, saved, combined, compared, hashed."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import save
from torch import Tensor

from prunus import headers, ranks
from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.formats import Format
from prunus.notation import load_json
from prunus.site import Site


def _whole(said: dict[str, Any]) -> dict[str, Any]:
    """Of format 1, whose masks had a byte for each unit; as JSON it was what it is."""
    return said if "sites" in said else {**said, "shapes": None}


FORMAT = Format("plan", 2, {1: _whole})


class Plan(Mapping[str, Tensor]):
    """A boolean tensor per site, on the site's grid: True = the unit stays.

    A site that a plan does not name is left whole. Plans are immutable by convention: every
    operation returns a new one.

    >>> here = Plan({"layer.0:heads": torch.tensor([True, True, False])})
    >>> there = Plan({"layer.0:heads": torch.tensor([True, False, True])})
    >>> here & there
    Plan of 1 sites
      layer.0:heads: 1 of 3
    >>> here.diff(there)
    {'layer.0:heads': (tensor([1]), tensor([2]))}
    """

    def __init__(self, keep: Mapping[str, Tensor] | None = None, model: str = "") -> None:
        """Copy the masks; ``model`` says what the plan was made for, for messages."""
        self._keep = {
            name: mask.detach().cpu().bool().clone(memory_format=torch.contiguous_format)
            for name, mask in (keep or {}).items()
        }
        self.model = model

    @classmethod
    def dense(cls, sites: Mapping[str, Site], model: str = "") -> "Plan":
        """The plan under which everything stays."""
        return cls({n: torch.ones(s.shape, dtype=torch.bool) for n, s in sites.items()}, model)

    def __getitem__(self, name: str) -> Tensor:
        """The mask of one site."""
        return self._keep[name]

    def __iter__(self) -> Iterator[str]:
        """The names of the sites."""
        return iter(self._keep)

    def __len__(self) -> int:
        """How many sites the plan speaks of."""
        return len(self._keep)

    def __eq__(self, other: object) -> bool:
        """Equal when the same sites keep the same units."""
        return isinstance(other, Plan) and self.fingerprint() == other.fingerprint()

    def __hash__(self) -> int:
        """Follows :meth:`fingerprint`."""
        return hash(self.fingerprint())

    def __and__(self, other: "Plan") -> "Plan":
        """Units that stay in both; a site that only one of them names is taken from it."""
        return (
            self | other | {name: self[name] & other[name] for name in self.keys() & other.keys()}
        )

    def __or__(self, other: Mapping[str, Tensor]) -> "Plan":
        """This plan with the sites of ``other`` put in place of its own, as with dicts."""
        return Plan({**self._keep, **dict(other)}, self.model)

    def __repr__(self) -> str:
        """One line a site: what stays, of how many."""
        rows = [f"  {name}: {kept} of {of}" for name, (kept, of) in self.kept().items()]
        return "\n".join([f"Plan of {len(self)} sites", *rows])

    def counts(self) -> dict[str, int]:
        """{site: units that stay}, as costs are asked for."""
        return {name: int(mask.sum()) for name, mask in self.items()}

    def kept(self) -> dict[str, tuple[int, int]]:
        """{site: (units that stay, units in all)}."""
        return {name: (int(mask.sum()), mask.numel()) for name, mask in self.items()}

    def diff(self, other: "Plan") -> dict[str, tuple[Tensor, Tensor]]:
        """{site: (units only here, units only there)} as flat indices, for sites that differ."""
        found = {}
        for name in sorted(self.keys() & other.keys()):
            here, there = self[name].flatten(), other[name].flatten()
            if not torch.equal(here, there):
                found[name] = ((here & ~there).nonzero()[:, 0], (there & ~here).nonzero()[:, 0])
        return found

    def fingerprint(self) -> str:
        """Hex SHA-256 of the sites' names, grids and masks, whatever their order."""
        digest = hashlib.sha256()
        for name in sorted(self):
            digest.update(f"{name}{tuple(self[name].shape)}".encode())
            digest.update(self[name].numpy().tobytes())
        return digest.hexdigest()

    def agreed(self) -> "Plan":
        """The first rank's plan, which all others take over from here."""
        plan = Plan(self, self.model)
        ranks.spread(plan.values())
        ranks.agree("the plan", plan.fingerprint().encode())
        return plan

    def check(self, sites: Mapping[str, Site], model: str = "") -> None:
        """Raise unless every mask lies on the grid of a site of this model.

        Raises:
            PrunusError: a site is not in the model, or has another grid.
        """
        made = f" The plan was made for {self.model!r}." if self.model else ""
        here = f" of {model}" if model else ""
        for name, mask in self.items():
            if name not in sites:
                raise PrunusError(
                    f"the plan names site {name!r}, which the model{here} lacks.{made}"
                )
            if tuple(mask.shape) != sites[name].shape:
                raise PrunusError(
                    f"site {name!r}{here} has {_grid(sites[name].shape)} units; the plan has a mask"
                    f" of {_grid(tuple(mask.shape))}.{made}"
                )

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with a bit for each unit, or readable JSON, by the suffix."""
        path = Path(path)
        if path.suffix == ".json":
            write_bytes(path, self._json().encode())
            return
        tensors = {name: pack(mask) for name, mask in self.items()}
        shapes = {name: list(mask.shape) for name, mask in self.items()}
        told = {"format": FORMAT.version, "model": self.model, "shapes": shapes}
        meta = {"prunus": json.dumps(told)}
        write_bytes(path, save(tensors, metadata=meta))

    @classmethod
    def load(cls, path: str | Path) -> "Plan":
        """Read what :meth:`save` wrote.

        Raises:
            PrunusError: the file is missing, broken, or not a plan.
        """
        path = Path(path)
        try:
            return cls._from_json(path) if path.suffix == ".json" else cls._from_tensors(path)
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            why = str(error).removeprefix(f"{path}: ")
            raise PrunusError(f"{path}: not a readable plan ({why})") from None

    def _json(self) -> str:
        sites = {
            name: {
                "shape": list(mask.shape),
                "keep": "".join("01"[int(bit)] for bit in mask.flatten()),
            }
            for name, mask in self.items()
        }
        return json.dumps({"format": FORMAT.version, "model": self.model, "sites": sites}, indent=1)

    @classmethod
    def _from_json(cls, path: Path) -> "Plan":
        said = FORMAT.read(path)
        masks = {name: _bits(own["keep"], own["shape"]) for name, own in said["sites"].items()}
        return cls(masks, str(said["model"]))

    @classmethod
    def _from_tensors(cls, path: Path) -> "Plan":
        metadata = headers.header(path).metadata
        said = FORMAT.current(load_json(metadata["prunus"]))
        held, shapes, model = headers.read(path), said["shapes"], str(said["model"])
        if shapes is None:
            return cls(held, model)
        return cls({name: unpack(held[name], shapes[name]) for name in shapes}, model)


def _bits(text: str, shape: Sequence[int]) -> Tensor:
    """The mask that a text of 0 and 1 says.

    Raises:
        ValueError: it says something else.
    """
    if set(text) - {"0", "1"}:
        raise ValueError("keep: expected a text of 0 and 1")
    return torch.tensor([bit == "1" for bit in text], dtype=torch.bool).reshape(shape)


def pack(mask: Tensor) -> Tensor:
    """[bytes] uint8: a bool mask, eight units to a byte, the first in the highest bit."""
    return torch.from_numpy(numpy.packbits(mask.cpu().numpy()))


def unpack(bits: Tensor, shape: Sequence[int]) -> Tensor:
    """The bool mask of a shape that was packed.

    Raises:
        ValueError: there are not as many bits.
    """
    count = prod(shape)
    if min(shape, default=0) < 0 or bits.numel() != -(-count // 8):
        raise ValueError(f"{8 * bits.numel()} bits for a mask of {_grid(tuple(shape))}")
    flat = numpy.unpackbits(bits.numpy(), count=count)
    return torch.from_numpy(flat).bool().reshape(tuple(shape))


def _grid(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)
