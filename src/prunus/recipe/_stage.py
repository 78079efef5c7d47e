"""What the steps of a run share: settings, folder, clock, log and progress."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from torch import nn

from prunus.measure.phases import Phases
from prunus.recipe._bars import Bars
from prunus.recipe._model import Recipe
from prunus.recipe._parts import Parts
from prunus.task import Prepared, Quality


@dataclass
class Stage:
    """Where a run takes place.

    Attributes:
        recipe: what to do.
        parts: the recipe's parts.
        folder: where files are written.
        out: where the folder will be in the end.
        bars: progress.
        log: the run's log.
        watch: seconds of every phase.
    """

    recipe: Recipe
    parts: Parts
    folder: Path
    out: Path
    bars: Bars
    log: logging.Logger
    watch: Phases = field(default_factory=Phases)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time, log and show one phase."""
        self.log.info("%s", name)
        self.bars.step(name, 0, 1)
        with self.watch(name):
            yield
        self.bars.step(name, 1, 1)

    def evaluate(
        self, model: nn.Module, prepared: Prepared, which: str, split: str | None = None
    ) -> Quality:
        """The quality of a model on a split, by default the one that the recipe reports."""
        settings = self.recipe.evaluation
        shown = partial(self.bars.over, what=f"evaluate the {which} model")
        with self.watch("evaluate"):
            quality = prepared.evaluate(model, split or settings.split, settings.batch_size, shown)
        self.log.info("%s: %s", f"{which}, {split}" if split else which, quality)
        return quality

    def fault(self, what: str, error: Exception) -> str:
        """Log what went wrong after the model was saved, which need not end the run; in a line."""
        self.log.error("%s: %s", what, error, exc_info=error)
        return next(iter(str(error).splitlines()), type(error).__name__)

    def step(self, what: str, done: int, of: int) -> None:
        """Show and log how far a drive is."""
        self.bars.step(what, done, of)
        self.log.info("%s: %d of %d", what, done, of)
