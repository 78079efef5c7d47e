"""What a tuned module depends on; its hash is where the module is kept."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from prunus.plan import Plan
from prunus.site import Site

VERSION = 1


@dataclass(frozen=True)
class Key:
    """Everything that a tuned module depends on: two with the same key are the same module.

    Attributes:
        base: the dense model, see :func:`prunus.library.weights_hash`.
        data: what it was tuned on, see :func:`prunus.library.data_hash`.
        site: the name of the site.
        kind: the kind of the site.
        slices: where its units live.
        mask: hash of which of them stay.
        objective: how it was tuned, spelt in values that JSON can hold.
        format: of the entry.
    """

    base: str
    data: str
    site: str
    kind: str
    slices: str
    mask: str
    objective: Mapping[str, Any] = field(hash=False)
    format: int = VERSION

    @classmethod
    def of(
        cls, base: str, data: str, site: Site, mask: Tensor, objective: Mapping[str, Any]
    ) -> "Key":
        """The key of a site under a mask.

        Args:
            base: the dense model's hash.
            data: the data's hash.
            site: where the units live.
            mask: [*grid] bool, which stay.
            objective: how the module is tuned, in values that JSON can hold.
        """
        slices = "; ".join(
            f"{part.tensor} axes {part.axes} tile {part.tile} from {part.start}"
            for part in site.slices
        )
        stays = Plan({site.name: mask}).fingerprint()
        return cls(base, data, site.name, site.kind, slices, stays, objective)

    def parts(self) -> dict[str, Any]:
        """The key as JSON holds it."""
        return json.loads(canonical({**vars(self), "objective": dict(self.objective)}))

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the canonical JSON."""
        return sha256(self.parts())


def canonical(value: Any) -> str:
    """The one JSON text of a value, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def sha256(value: Any) -> str:
    """Hex SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
