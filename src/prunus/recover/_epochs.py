"""How far a training of many sublayers apart from each other is, on its way to a safe point."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Protocol

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from prunus.recover._variant import Variant
from prunus.safe import Kept, SafePoints

NOW, BEST, STATE = "now", "best", "state"


class Learner(Protocol):
    """A variant that learns, with the looks at it so far."""

    variant: Variant
    looks: list[Any]
    best: dict[str, Tensor]
    rested: int


@dataclass(frozen=True)
class Epochs:
    """A training between two of its epochs.

    Attributes:
        learners: by name; the same ones have the same safe point.
        optimizer: of all their parameters.
        pace: its learning rates.
        safe: what was found, and outlives the process.
    """

    learners: Mapping[str, Learner]
    optimizer: Optimizer
    pace: LRScheduler
    safe: SafePoints

    def keep(self, epoch: int) -> None:
        """So many epochs are over."""
        if not self.safe.keeps:
            return
        state = self.optimizer.state_dict()
        tensors = {
            f"{STATE}/{place}/{key}": own
            for place, held in state["state"].items()
            for key, own in held.items()
        }
        said = list[dict[str, Any]]()
        for place, one in enumerate(self.learners.values()):
            tensors |= {f"{place}/{NOW}/{name}": own for name, own in one.variant.tensors().items()}
            tensors |= {f"{place}/{BEST}/{name}": own for name, own in one.best.items()}
            said.append({"looks": [asdict(look) for look in one.looks], "rested": one.rested})
        told = {"epoch": epoch, "learners": said, "groups": state["param_groups"]}
        self.safe.put(self._name, Kept({**told, "pace": self.pace.state_dict()}, tensors))

    def resumed(self, look: type) -> int:
        """How many epochs are over; the learners are where they were then.

        Args:
            look: makes a look of what is kept of it.
        """
        kept = self.safe.get(self._name)
        if kept is None:
            return 0
        state: dict[int, dict[str, Tensor]] = {}
        for name, own in kept.under(f"{STATE}/").items():
            place, _, key = name.partition("/")
            state.setdefault(int(place), {})[key] = own
        self.optimizer.load_state_dict({"state": state, "param_groups": kept.said["groups"]})
        self.pace.load_state_dict(kept.said["pace"])
        self._take(kept, look)
        return kept.said["epoch"]

    def _take(self, kept: Kept, look: type) -> None:
        told: Sequence[Mapping[str, Any]] = kept.said["learners"]
        for place, (one, said) in enumerate(zip(self.learners.values(), told, strict=True)):
            device = next(iter(one.best.values())).device
            one.variant.write(kept.under(f"{place}/{NOW}/"))
            best = kept.under(f"{place}/{BEST}/")
            one.best = {name: own.to(device) for name, own in best.items()}
            one.looks[:] = [look(**seen) for seen in said["looks"]]
            one.rested = said["rested"]

    @property
    def _name(self) -> str:
        return f"tune {sha256(' '.join(self.learners).encode()).hexdigest()[:16]}"
