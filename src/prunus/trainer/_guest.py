"""Who is let into a training, and is saved with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback

from prunus import ranks

STATE = "guest.safetensors"
"""The file of a guest in a checkpoint."""


class Attached(Protocol):
    """What a guest of a training leaves with its optimizer."""

    def save(self, path: Path) -> None:
        """Write a file from which it can go on."""
        ...

    def load(self, path: Path) -> None:
        """Go on from a file."""
        ...


Enter = Callable[[Any, Any, int, int], Attached]


class Guest(TrainerCallback):
    """Lets somebody in when the optimizer is there, and saves him with every checkpoint."""

    def __init__(
        self,
        enter: Enter,
        told: Callable[[int, int], None],
        start: Path | None,
    ) -> None:
        """``enter`` gets the model, its optimizer, the training's steps, and those of an epoch."""
        self._enter, self._told, self._start = enter, told, start
        self._attached: Attached | None = None
        self._percent = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Let the guest in."""
        epoch = len(given["train_dataloader"])
        self._attached = self._enter(given["model"], given["optimizer"], state.max_steps, epoch)
        if self._start is not None:
            self._attached.load(self._start / STATE)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it is, once a percent."""
        percent = 100 * state.global_step // state.max_steps
        if percent > self._percent:
            self._percent = percent
            self._told(state.global_step, state.max_steps)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save the guest beside the network."""
        if self._attached is not None and ranks.first():
            self._attached.save(Path(args.output_dir) / f"checkpoint-{state.global_step}" / STATE)
