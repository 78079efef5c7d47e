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
        pick: which of them this is; None where a search chose.
        filled: every module that the drive names, and where it came from.
        used: the names of those that the model is made of.
        losses: {name: divergence of the dense model with this module alone exchanged}, where a
            search asked for it.
        notes: what else there is to say.
    """

    folder: Path
    configurations: int
    pick: int | None
    filled: Filled
    used: frozenset[str]
    losses: Mapping[str, float]
    notes: tuple[str, ...]
