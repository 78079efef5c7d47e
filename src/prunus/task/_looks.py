"""Looks at held-out examples during a training, which it may end early."""

import time
from copy import deepcopy
from dataclasses import asdict
from math import inf, isnan
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import TrainerCallback

from prunus.files import write_bytes
from prunus.safe import Kept
from prunus.task._history import Point
from prunus.task._prepared import Prepared
from prunus.task._training import Training

LOOK = "look"
"""Where the Trainer's log holds what was seen, so that it is saved with its checkpoints."""


class Stopwatch:
    """Seconds, of this process's processors and by the wall, while it is not stopped."""

    def __init__(self, cpu: float = 0.0, seconds: float = 0.0) -> None:
        """A watch that shows so much, and stands still."""
        self.cpu, self.seconds = cpu, seconds
        self._began = 0.0, 0.0

    def start(self) -> None:
        """Go on."""
        self._began = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        """Stand still."""
        cpu, seconds = self._began
        self.cpu += time.process_time() - cpu
        self.seconds += time.perf_counter() - seconds


class Looks(TrainerCallback):
    """Measures a model as it is trained: before the first step, every so many, after the last.

    Early stopping as in Prechelt (Early Stopping, but when?, 1998): with patience, a training ends
    after so many looks that found no lower loss, and leaves the weights of the lowest.

    Attributes:
        points: what was seen.
        kept: the step whose weights were left; None is the last one.
    """

    def __init__(self, model: nn.Module, prepared: Prepared[Any], training: Training) -> None:
        """``model`` is what is looked at: the one in training, or an average of it."""
        self.points: list[Point] = []
        self.kept: int | None = None
        self._model, self._prepared, self._training = model, prepared, training
        self._best: dict[str, Tensor] = {}
        self._watch = Stopwatch()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look before the first step, or go on where a training that broke off was."""
        self.points = [Point(**entry[LOOK]) for entry in state.log_history if LOOK in entry]
        if self.points:
            self._watch = Stopwatch(self.points[-1].cpu, self.points[-1].seconds)
        else:
            self._look(state, None)
        self._watch.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Have the Trainer tell the loss where a look is due."""
        done, every = state.global_step, self._training.eval_steps or 1
        control.should_log |= done % every == 0 or done >= state.max_steps

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Look, and stop where that is asked for."""
        loss = given["logs"].get("loss")
        if loss is None:  # the summary at the end
            return
        self._watch.stop()
        self._look(state, loss)
        patience = self._training.patience
        control.should_training_stop |= patience is not None and self._waited >= patience
        self._watch.start()

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Give the weights of the lowest loss to the model."""
        if self._best:
            given["model"].load_state_dict(self._best)
            self.kept = self._lowest.step

    def save(self, path: Path) -> None:
        """Write the weights of the lowest loss."""
        write_bytes(path, Kept(None, self._best).held().encoded())

    def load(self, path: Path) -> None:
        """Go on with those."""
        self._best = dict(Kept.read(path).tensors)

    @property
    def _lowest(self) -> Point:
        return min(self.points, key=lambda own: inf if isnan(own.validation) else own.validation)

    @property
    def _waited(self) -> int:
        """Looks since the lowest loss."""
        return len(self.points) - 1 - self.points.index(self._lowest)

    def _look(self, state: Any, loss: float | None) -> None:
        said = self._training
        seen = Point(
            step=state.global_step,
            epoch=state.epoch or 0.0,
            cpu=self._watch.cpu,
            seconds=self._watch.seconds,
            training=loss,
            validation=self._prepared.loss(self._model, said.eval_split, limit=said.eval_samples),
            quality=self._quality() if said.eval_metric else None,
        )
        self.points.append(seen)
        state.log_history.append({"step": seen.step, LOOK: asdict(seen)})
        if said.patience is not None and seen is self._lowest:
            self._best = deepcopy(self._model.state_dict())

    def _quality(self) -> float:
        split, limit = self._training.eval_split, self._training.eval_samples
        return self._prepared.evaluate(self._model, split, limit=limit).value
