"""What the steps of a run share: settings, folder, clock, log and progress."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from prunus.measure.memory import Peak
from prunus.measure.phases import Phases
from prunus.recipe._bars import Bars
from prunus.recipe._model import Recipe
from prunus.recipe._parts import Parts
from prunus.safe import SafePoints, pack, unpack
from prunus.task import Prepared, Quality
from prunus.tracking import tell


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
        safe: what was found, and outlives the process.
        watch: seconds of every phase.
        at: how far it is, in words.
    """

    recipe: Recipe
    parts: Parts
    folder: Path
    out: Path
    bars: Bars
    log: logging.Logger
    safe: SafePoints = field(default_factory=SafePoints)
    watch: Phases = field(default_factory=Phases)
    at: str = ""

    def begin(self, resume: bool, peak: Peak) -> None:
        """Say from where it goes on, where somebody asked to; safe points tell how far it is."""
        told, self.safe.store.facts = self.safe.told, partial(self._facts, peak)
        if resume:
            said = f"going on: {told['at']}" if told else "no safe points: from the beginning"
            self.log.info("%s", said)
            self.bars.say(said)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time, log and show one phase."""
        self.at = name
        self.log.info("%s", name)
        self.bars.step(name, 0, 1)
        with self.watch(name):
            yield
        self.bars.step(name, 1, 1)

    def evaluate(
        self, model: nn.Module, prepared: Prepared, which: str, split: str | None = None
    ) -> Quality:
        """The quality of a model on a split, by default the one that the recipe reports."""
        settings, name = self.recipe.evaluation, f"{which}, {split}" if split else which
        shown = partial(self.bars.over, what=f"evaluate the {which} model")

        def measured() -> Quality:
            with self.watch("evaluate"):
                return prepared.evaluate(model, split or settings.split, settings.batch_size, shown)

        quality = self.safe.once(f"quality of {name}", measured, pack, partial(unpack, Quality))
        self.log.info("%s: %s", name, quality)
        tell(lambda: {f"quality/{name.replace(', ', '/')}": quality.value})
        return quality

    def known(self, which: str) -> Quality | None:
        """The quality of a model that was kept; None where none was."""
        kept = self.safe.get(f"quality of {which}")
        return None if kept is None else unpack(Quality, kept)

    def fault(self, what: str, error: Exception) -> str:
        """Log what went wrong after the model was saved, which need not end the run; in a line."""
        self.log.error("%s: %s", what, error, exc_info=error)
        return next(iter(str(error).splitlines()), type(error).__name__)

    def step(self, what: str, done: int, of: int) -> None:
        """Show and log how far a drive is."""
        self.at = f"{what}, {done} of {of}"
        self.bars.step(what, done, of)
        self.log.info("%s: %d of %d", what, done, of)

    def _facts(self, peak: Peak) -> dict[str, Any]:
        """How far the run is, and what it has taken so far."""
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        taken = {"seconds": self.watch.seconds, "peak": peak.bytes}
        return {"at": self.at, "saved": now, **taken}
