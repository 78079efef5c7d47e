"""The contract of what trains a pruned model as a whole, after every repair."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from prunus.adapt import Adaptation
from prunus.errors import PrunusError
from prunus.probe.loss import Batch
from prunus.recover._repair import Repair
from prunus.registry import Part
from prunus.safe import SafePoints


def _unseen(_what: str, _done: int, _of: int) -> None:
    """A step that nobody watches."""


@dataclass(frozen=True)
class Pruned:
    """A pruned and mended model that waits for its touch-up.

    Attributes:
        student: the model that is trained in place.
        dense: the model that it shall answer like.
        batches: unlabelled data, gone through as often as is needed.
        masked: tensors of the student whose zeros stand for weights that went.
        computing: opens the context of every forward pass.
        step: told of progress: (what, done, of).
        adapt: adapters that the student shall learn by; they are merged into it.
        safe: what was found, and outlives the process.
    """

    student: Any
    dense: Any
    batches: Iterable[Batch]
    masked: frozenset[str] = frozenset()
    computing: Callable[[], AbstractContextManager] = nullcontext
    step: Callable[[str, int, int], None] = _unseen
    adapt: Adaptation | None = None
    safe: SafePoints = field(default_factory=SafePoints)


@dataclass(frozen=True)
class Trained:
    """What a touch-up did.

    Attributes:
        learnt: what of the model, in words.
        steps: how many.
        seconds: by the clock on the wall.
        loss: mean of the last tenth of the steps, a sample.
        samples: how many the data has.
    """

    learnt: str
    steps: int
    seconds: float
    loss: float
    samples: int


class TouchUp(Part):
    """Trains a pruned student in place, once it is cut and every repair is done."""

    def adaptation(self, adapt: Adaptation | None) -> Adaptation | None:
        """The adapters that learn: those of a recipe, its own, or none.

        Raises:
            PrunusError: both are asked for.
        """
        raise NotImplementedError

    def mend(self, pruned: Pruned) -> Trained:
        """Train it: shapes, masks, and all but its weights stay."""
        raise NotImplementedError


def parted(parts: Iterable[Repair | TouchUp]) -> tuple[tuple[Repair, ...], TouchUp | None]:
    """Repairs apart from the touch-up that follows them, if there is one.

    Raises:
        PrunusError: a touch-up comes before something else.
    """
    parts = tuple(parts)
    for part, after in pairwise(parts):
        if isinstance(part, TouchUp):
            name, other = (type(one).__module__.rpartition(".")[2] for one in (part, after))
            raise PrunusError(
                f"recover: {name} comes before {other}, but it trains the whole model when all"
                " else is mended; put it last, and only once"
            )
    repairs = tuple(part for part in parts if isinstance(part, Repair))
    return repairs, next((part for part in parts if isinstance(part, TouchUp)), None)
