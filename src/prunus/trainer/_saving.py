"""Checkpoints of a training, from which it is taken up again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from prunus import ranks
from prunus.files import write_bytes
from prunus.safe import Kept, SafePoints
from prunus.trainer._guest import Attached
from prunus.trainer._loop import Loop
from prunus.trainer._pace import Pace

LOSSES = "losses.safetensors"
"""The file of the losses so far, written last: a checkpoint with one is whole."""


@dataclass(frozen=True)
class Checkpoints:
    """Where a training is saved as it goes on, so that it can be taken up again.

    Attributes:
        folder: of the checkpoints.
        safe: says when, and is written first.
        others: what else goes on with the training, by its file in a checkpoint.
    """

    folder: Path
    safe: SafePoints
    others: Mapping[str, Attached] = field(default_factory=dict)

    @property
    def last(self) -> Path | None:
        """The last one that is whole, as the first rank sees them."""
        whole = self.folder.glob(f"checkpoint-*/{LOSSES}")
        found = [int(path.parent.name.rpartition("-")[2]) for path in whole]
        step = int(ranks.number(max(found, default=0)))
        return self.folder / f"checkpoint-{step}" if step else None


class Saving(TrainerCallback):
    """Saves a training when safe points are due, with what the Trainer does not save."""

    def __init__(self, checkpoints: Checkpoints, pace: Pace | None) -> None:
        """The last one's losses count, and its pace goes on."""
        self._checkpoints, self._pace = checkpoints, pace
        self.loop: Loop | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Go on from the last one, if there is one."""
        last = self._checkpoints.last
        if last is None or self.loop is None:
            return
        kept = Kept.read(last / LOSSES)
        self.loop.sums, self.loop.logged = kept.tensors["sums"], kept.said["logged"]
        if self._pace is not None:
            self._pace.before = kept.said["seconds"]
        for name, other in self._checkpoints.others.items():
            other.load(last / name)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save, if it is time to; the first rank says so."""
        safe = self._checkpoints.safe
        if ranks.shared(bytes([safe.due])) == b"\1":
            safe.flush()
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save the rest, last of all."""
        if self.loop is None:
            return
        sums = ranks.total({"sums": self.loop.sums})["sums"] / ranks.world()  # all wrote their part
        if not ranks.first():
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        for name, other in self._checkpoints.others.items():
            other.save(folder / name)
        seconds = 0.0 if self._pace is None else self._pace.elapsed
        said = {"logged": self.loop.logged, "seconds": seconds}
        write_bytes(folder / LOSSES, Kept(said, {"sums": sums}).encoded())
