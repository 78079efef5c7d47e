"""What a model was composed of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prunus.library import Filled


@dataclass(frozen=True)
class Composed:
    """A library as a run left it, and the model that was made of it.

    Attributes:
        folder: of the library.
        configurations: how many models the drive names.
        filled: every module that the drive names, and where it came from.
        losses: {name: divergence of the dense model with this module alone exchanged}, where a
            search asks for it.
        notes: what else there is to say.
        pick: which of them this is; None where a search chose, or nothing was composed.
        used: the names of those that the model is made of.
    """

    folder: Path
    configurations: int
    filled: Filled
    losses: Mapping[str, float]
    notes: tuple[str, ...]
    pick: int | None = None
    used: frozenset[str] = frozenset()
