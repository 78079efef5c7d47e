"""Measures how sensitive each site is, for so long, and keeps what it finds."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import Any

from prunus import ranks
from prunus.drive import Job
from prunus.drive._alone import Alone
from prunus.drive._modules import Wanted
from prunus.drive._next import following
from prunus.edit import mask
from prunus.errors import PrunusError
from prunus.library import data_hash, weights_hash
from prunus.probe.loss import Batch, samples_of
from prunus.recipe._journal import Journal
from prunus.recipe._open import DEVELOPMENT, DRAWN, to
from prunus.recipe._report import task_name
from prunus.recipe._stage import Stage
from prunus.registry import spelt
from prunus.sensitivity import Measurement, Sensitivity, SiteCurve
from prunus.task import Prepared, Quality

SHARE = 0.5
"""The fraction of the time in which all should be measured: other work may slow a machine down."""
FEWEST = 32
"""Examples that are measured on in any case, where there are as many."""


@dataclass
class Measuring:
    """How sensitive the sites of a job are.

    Attributes:
        stage: the recipe, and where it is carried out.
        job: the dense model, its sites and criterion.
        prepared: the task, with a development split.
        densities: of each site.
        metric: whether the task's metric is measured as well.
        journal: what was measured before.
        dense: the dense model's quality, where that was asked for and is known.
        pace: seconds that an example takes in one measurement.
    """

    stage: Stage
    job: Job
    prepared: Prepared
    densities: Sequence[float]
    metric: bool
    journal: Journal
    dense: Quality | None = field(init=False, default=None)
    pace: float = field(init=False, default=0.0)

    def begin(self, seconds: float) -> None:
        """Score units, and take as many examples as time allows, or those of an earlier call.

        Args:
            seconds: there will be for measuring.

        Raises:
            PrunusError: the journal is of something else, or no site has a unit that may go.
        """
        points = sum(map(len, self._steps.values()))
        if not points:
            raise PrunusError("nothing can go of any site at these densities; give lower ones")
        self.pace = self._pace()
        self.journal.begin(self._head(int(SHARE * seconds / points / self.pace)))

    def run(self, seconds: float) -> None:
        """Measure until nothing is left, or no time for one more point.

        Raises:
            PrunusError: nothing could be measured in time.
        """
        begun = _now()
        if self.metric:
            self.dense = self._quality(None)
        spent = self.pace * self._samples
        while (own := self._next()) is not None and _now() - begun + spent <= seconds:
            since = _now()
            row = self._row(own)
            spent = _now() - since
            self.journal.add({**row, "seconds": spent})
            self.stage.step("measure", *self._done)
            self.stage.safe.tick()
        self.stage.bars.clear()
        if not self.journal.rows:
            raise PrunusError(
                f"{seconds / 60:g} minutes are too few: one measurement on {self._samples} examples"
                f" takes about {spent / 60:.2g}; give more minutes"
            )

    def table(self) -> Sensitivity:
        """What is known by now."""
        job, recipe = self.job, self.stage.recipe
        return Sensitivity(
            model=recipe.model,
            weights=self.journal.head["model"],
            task=task_name(recipe.task),
            score=spelt(job.criterion),
            split=DEVELOPMENT,
            samples=self._samples,
            metric=self.dense and self.dense.metric,
            dense=self.dense and self.dense.value,
            seconds=sum(row["seconds"] for row in self.journal.rows),
            complete=self._next() is None,
            sites=tuple(
                SiteCurve(site=name, kind=site.kind, units=site.units, points=self._points(name))
                for name, site in job.sites.items()
            ),
        )

    @cached_property
    def _ladders(self) -> dict[str, dict[float, Wanted]]:
        return Alone(self.job, ()).ladders(self.densities)

    @cached_property
    def _steps(self) -> dict[str, dict[int, Wanted]]:
        """{site: {units: which of them}}, the most first: densities may come to the same."""
        return {
            name: {own.kept: own for own in steps.values()} for name, steps in self._ladders.items()
        }

    @cached_property
    def _alone(self) -> Alone:
        return Alone(self.job, self._batches(self._samples))

    @property
    def _samples(self) -> int:
        return self.journal.head["samples"]

    def _batches(self, samples: int) -> list[Batch]:
        size = self.stage.recipe.evaluation.batch_size
        batches = self.prepared.batches(DEVELOPMENT, size, samples)
        return list(to(batches, self.stage.recipe.device))

    def _pace(self) -> float:
        """Seconds that one example takes in one measurement, by a batch of middle length."""
        batches = self._batches(DRAWN)
        batch = batches[len(batches) // 2]
        own = next(step for steps in self._steps.values() for step in steps.values())
        alone = Alone(self.job, [batch])
        alone.loss(own)  # warms up, and learns the answers
        since = _now()
        alone.loss(own)
        if self.metric:
            self._quality(own, samples_of(batch))
        return (_now() - since) / samples_of(batch)

    def _head(self, affordable: int) -> dict[str, Any]:
        """What decides what is measured; a journal with measurements says on how many examples."""
        job, every = self.job, sum(map(samples_of, self._batches(DRAWN)))
        samples = min(max(affordable, FEWEST), every)
        if self.journal.rows:
            samples = self.journal.head.get("samples", samples)
        return {
            "samples": samples,
            "model": weights_hash(job.model),
            "calibration": data_hash(job.batches),
            "development": data_hash(self._batches(samples)),
            "score": spelt(job.criterion),
            "scored": job.scored,
            "precision": str(job.precision),
            "sites": {name: site.units for name, site in job.sites.items()},
            "round_to": job.budget.round_to,
            "metric": self.metric,
        }

    def _next(self) -> Wanted | None:
        """What tells most of what is left."""
        units = {name: site.units for name, site in self.job.sites.items()}
        ladders = {name: list(steps) for name, steps in self._steps.items()}
        found = following(ladders, self._known, units)
        return None if found is None else self._steps[found[0]][found[1]]

    @property
    def _known(self) -> dict[str, dict[int, float]]:
        """{site: {units: loss}}."""
        found: dict[str, dict[int, float]] = {name: {} for name in self.job.sites}
        for row in self.journal.rows:
            found[row["site"]][row["units"]] = row["loss"]
        return found

    @property
    def _done(self) -> tuple[int, int]:
        """How many points are known, and how many there shall be."""
        known = {(name, units) for name, own in self._known.items() for units in own}
        asked = {(name, units) for name, own in self._steps.items() for units in own}
        return len(known), len(known | asked)

    def _row(self, own: Wanted) -> dict[str, Any]:
        loss, stderr = self._alone.loss(own)
        return {
            "site": own.site,
            "units": own.kept,
            "density": own.density,
            "loss": loss,
            "stderr": stderr,
            "quality": self._quality(own).value if self.metric else None,
            "asked": self._asked(own.site, own.kept),
        }

    def _quality(self, own: Wanted | None, samples: int | None = None) -> Quality:
        """Of the dense model, but for one site, on the examples that losses are measured on."""
        job, size = self.job, self.stage.recipe.evaluation.batch_size
        cut = nullcontext() if own is None else mask(job.model, job.sites, {own.site: own.mask})
        limit = self._samples if samples is None else samples
        with cut, job.computing():
            return self.prepared.evaluate(job.model, DEVELOPMENT, size, limit=limit)

    def _points(self, name: str) -> tuple[Measurement, ...]:
        rows = [row for row in self.journal.rows if row["site"] == name]
        asked = {row["units"]: self._asked(name, row["units"], row["asked"]) for row in rows}
        keys = Measurement.model_fields.keys() - {"asked"}
        found = [
            Measurement(**{key: row[key] for key in keys}, asked=asked[row["units"]])
            for row in rows
        ]
        return tuple(sorted(found, key=lambda point: -point.units))

    def _asked(self, name: str, units: int, before: Iterable[float] = ()) -> tuple[float, ...]:
        """The densities, of this call or ``before``, that come to so many units."""
        now = {density for density, own in self._ladders[name].items() if own.kept == units}
        return tuple(sorted({*before, *now}, reverse=True))


def _now() -> float:
    """Seconds by the first rank's clock, so that all of them stop after the same measurement."""
    return ranks.number(perf_counter())
