"""Who is let into a training, and is saved with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import TrainerCallback

STATE = "guest.safetensors"
"""The file of a guest in a checkpoint."""
EPOCHS = 10**6
"""More than any training has, to tell the epochs of one seed from those of the next."""


class Attached(Protocol):
    """What a guest of a training leaves with its optimizer."""

    def save(self, path: Path) -> None:
        """Write a file from which it can go on."""
        ...

    def load(self, path: Path) -> None:
        """Go on from a file."""
        ...


class Guest(TrainerCallback):
    """Lets somebody in when the optimizer is there, and saves him with every checkpoint.

    The order of an epoch's examples is drawn by the seed and the number of the epoch alone, so that
    a training that is taken up in the middle of one goes on in the same order.
    """

    def __init__(
        self,
        enter: Callable[[Any, int, int], Attached],
        told: Callable[[int, int], None],
        start: Path | None,
    ) -> None:
        """``enter`` gets the optimizer, the steps of the training, and those of an epoch."""
        self._enter, self._told, self._start = enter, told, start
        self.order = torch.Generator()
        self._attached: Attached | None = None
        self._percent = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Let the guest in."""
        batches = len(given["train_dataloader"])
        epoch = max(1, batches // args.gradient_accumulation_steps)
        self._attached = self._enter(given["optimizer"], state.max_steps, epoch)
        if self._start is not None:
            self._attached.load(self._start / STATE)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin the epoch's order."""
        self.order.manual_seed(args.seed * EPOCHS + int(state.epoch or 0))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it is, once a percent."""
        percent = 100 * state.global_step // state.max_steps
        if percent > self._percent:
            self._percent = percent
            self._told(state.global_step, state.max_steps)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save the guest beside the network."""
        if self._attached is not None:
            self._attached.save(Path(args.output_dir) / f"checkpoint-{state.global_step}" / STATE)
