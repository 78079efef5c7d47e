"""Many models of one: every distinct pruned module is tuned once, and kept for all."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PlainSerializer, model_validator

from prunus import ranks
from prunus.digest import digest
from prunus.drive._apart import require_separate, whole
from prunus.drive._composed import Composed
from prunus.drive._configurations import Told
from prunus.drive._drive import Drive, mended
from prunus.drive._job import Job
from prunus.drive._kept import pack, unpack
from prunus.drive._learning import learning_of
from prunus.drive._modules import Tuning, Wanted, wanted, write
from prunus.drive._readers import readers, require_apart, require_together
from prunus.drive._searched import losses, search
from prunus.errors import PrunusError
from prunus.library import Filled, Module, fill, place
from prunus.library import Library as Store
from prunus.plan import Plan
from prunus.recover import Repair
from prunus.recover._learning import held as zeros_held
from prunus.registry import Many, build, spelt
from prunus.schedule._span import Length, Span
from prunus.select._budget import Share

Repairs = Annotated[
    Many[Annotated[Repair, BeforeValidator(lambda spec: build("recover", spec))]],
    PlainSerializer(lambda repairs: list(map(spelt, repairs))),
]
"""Repairs, by their names or settings."""
TRAINED = "learnt"


class Library(Drive):
    """Compose many models of modules that are tuned once, towards the dense ones.

    A module is what a site's units live in, from what its producers read to what its reader gives:
    an attention, a feed-forward part, a linear layer. Each is pruned by the criterion's scores of
    the dense model, mended by ``recover`` on the dense model's inputs and outputs, and kept under
    the hash of all that it depends on; so any configuration of known modules is composed at once
    (Guan, Shen and Lim, PLDI 2019). With ``densities``, those are chosen that meet the budget and
    lose least (ZipLM, arXiv 2302.04089; SPDY, arXiv 2201.13096).

    Attributes:
        configurations: models to be composed; they say how much stays, and the budget does not
            count. See :class:`prunus.drive._configurations.Configurations`.
        pick: which of them this run composes; all of their modules are tuned.
        densities: instead, what modules of every site there shall be to choose from; 0 is one
            without units, which gives a constant.
        folder: of the library; None is $PRUNUS_LIBRARY, or ``~/.cache/prunus/library``.
        held: the fraction of the calibration data that no module learns from; errors are measured
            on it.
        tune: make modules that the library lacks; or else their lack is an error.
        finish: repairs in closed form that go through the composed model from the bottom up, on
            what its sublayers then really read.
        recovery: how long the composed model is then trained as a whole, with labels.
    """

    configurations: Told = None
    pick: NonNegativeInt = 0
    densities: Many[Share] = ()
    folder: str | None = None
    held: Annotated[float, Field(gt=0, lt=1)] = 0.125
    tune: bool = True
    finish: Repairs = ()
    recovery: Span = Length(0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.configurations is None) == (not self.densities):
            raise PrunusError(
                "drive: library: say either configurations (the models that shall be composed), or"
                " densities (of modules among which a budget is searched)"
            )
        if self.configurations is not None and self.pick >= len(self.configurations.every):
            raise PrunusError(
                f"drive: library: pick: {self.pick}: there are {len(self.configurations.every)}"
                " configurations, counted from 0"
            )
        return self

    def run(self, job: Job) -> Plan:
        """Fill the library, compose a model of it, train it where that is asked for.

        Raises:
            PrunusError: sites that cannot be tuned apart, a configuration of sites that the model
                lacks, a budget that no choice of modules meets, or modules that are missing.
        """
        self.require(job)
        every = self.modules(job)
        found = self.stocked(job, every)
        modules, picked = found.filled.modules, None
        if self.configurations is None:
            used = search(job, modules, found.losses)
        else:
            used, picked = [str(own) for own in every[self.pick].values()], self.pick
        job.composed = replace(found, pick=picked, used=frozenset(used))
        plan = _compose(job, [modules[name] for name in used])
        if self.finish:
            job.repairs = self.finish
            plan = mended(job, plan)
        self._train(job)
        return plan

    def stocked(self, job: Job, every: Sequence[Mapping[str, Wanted]]) -> Composed:
        """The library with modules of some models in it; no model is composed.

        Args:
            job: whose modules.
            every: as :meth:`modules` gives them.

        Raises:
            PrunusError: a module is missing, and none shall be made.
        """
        known = self.configurations
        notes = [*(known.notes if known else ()), *whole(job.sites)]
        store, tuning = self.store(notes.append), Tuning(job, self.held)
        filled = self.filled(
            tuning, {str(own): own for one in every for own in one.values()}, store
        )
        measured = {} if known else _measured(tuning, filled, store, every)
        count = len(known.every) if known else 0
        return Composed(store.folder, count, filled, measured, tuple(notes))

    def store(self, told: Callable[[str], object]) -> Store:
        """The folder of tuned modules; ``told`` hears of broken ones."""
        folder = Path(self.folder).expanduser() if self.folder else place(os.environ)
        return Store(folder, told)

    def modules(self, job: Job) -> list[dict[str, Wanted]]:
        """The modules of every configuration; where there are densities, of each of them.

        Raises:
            PrunusError: a configuration of sites that the model lacks.
        """
        if self.configurations is None:
            return list(wanted(job, self.densities).values())
        every = self.configurations.on(job.sites)
        found = wanted(job, (density for one in every for density in one.values()))
        return [
            {site: found[density][site] for site, density in one.items() if site in found[density]}
            for one in every
        ]

    def filled(self, tuning: Tuning, modules: Mapping[str, Wanted], store: Store) -> Filled:
        """Every module, from the library or made.

        Where several processes share the run, each makes its share of the modules, and takes those
        of the others from the library, whose folder they all must see.

        Raises:
            PrunusError: one is missing, and none shall be made.
        """
        name = type(tuning.job.model).__name__

        def tune(missing: list[str]) -> Iterator[tuple[str, Module]]:
            if not self.tune:
                raise PrunusError(
                    f"drive: library: tune: false: {store.folder} lacks {len(missing)} of"
                    f" {len(modules)} modules, such as {missing[0]}; tune them first (prunus"
                    " library tune), or leave tune out"
                )
            return tuning.tune({own: modules[own] for own in missing}, name)

        keys, done = tuning.keys(modules), None
        if ranks.world() > 1:
            mine = dict(ranks.own(keys.items()))
            with ranks.alone():
                done = fill(store, mine, tune)
            ranks.gathered(b"")  # everybody is done
        with ranks.alone():
            found = fill(store, keys, tune)
        return found if done is None else found.after(done)

    def plan(self, job: Job) -> Plan:
        """What stays in the configuration that is picked, unless repairs choose other units.

        Raises:
            PrunusError: a configuration of sites that the model lacks.
        """
        chosen = self.modules(job)[self.pick].values()
        return Plan.dense(job.sites) | {own.site: own.mask for own in chosen}

    def require(self, job: Job) -> None:
        """Check what a job asks before anything is tuned for it.

        Raises:
            PrunusError: sites that cannot be tuned apart, repairs that mend what they read, or a
                recovery without data to learn from.
        """
        require_separate(job.sites)
        require_apart(job.repairs)
        require_together(self.finish)
        if self.finish:
            readers(job.model, job.sites, self.finish, job.batches)
        if self.recovery.number:
            learning_of(job, "library")
        if self.recovery.number and job.adapt is not None:
            raise PrunusError(
                "adapt: the recovery of drive: library trains the weights themselves; leave adapt"
                " out, or the recovery, and let recover: finetune train the adapters"
            )

    def _train(self, job: Job) -> None:
        """Train the composed model; single weights that went stay away."""
        if not self.recovery.number:
            return
        learning = learning_of(job, "library")
        steps = max(1, self.recovery.steps(learning.steps[1]))
        masked = {
            part.tensor for site in job.sites.values() if not site.removable for part in site.slices
        }
        job.student.requires_grad_(True)
        kept = job.safe.get(TRAINED)
        if kept is not None:
            unpack(job, kept)
            return
        with job.phase("train"), zeros_held(job.student, masked):
            told = partial(job.step, "train")
            history = learning.limited(steps).train(job.student, None, told, job.safe, "train")
        job.history.append(history)
        job.student.eval()
        job.safe.drop("train")
        job.safe.put(TRAINED, pack(job, {}))


def _measured(
    tuning: Tuning, filled: Filled, store: Store, every: Sequence[Mapping[str, Wanted]]
) -> dict[str, float]:
    """{module: loss}; what had to be measured is kept with the module."""
    modules, figures = filled.modules, {n: own.figures for n, own in filled.modules.items()}
    rest = {name: own for name, own in modules.items() if "loss" not in figures[name]}
    with tuning.job.phase("measure"):
        found = _shared_out(tuning, rest)
    asked = {str(own): own for one in every for own in one.values() if str(own) in rest}
    for name, key in tuning.keys(asked).items():
        store.put(key, replace(rest[name], figures={**figures[name], "loss": found[name]}))
    return {name: found[name] if name in found else own["loss"] for name, own in figures.items()}


def _shared_out(tuning: Tuning, modules: Mapping[str, Module]) -> dict[str, float]:
    """{module: loss}; each rank measures its share of the modules."""
    mine = dict(ranks.own(modules.items()))
    with ranks.alone():
        told = json.dumps(losses(tuning, mine)).encode()
    found = {}
    for part in ranks.gathered(told):
        found |= json.loads(part)
    return {name: found[name] for name in modules}


def _compose(job: Job, modules: Sequence[Module]) -> Plan:
    """Cut the student, and write the modules' weights."""
    plan = Plan.dense(job.sites) | {own.site: own.mask for own in modules}
    if ranks.world() > 1:
        told = "".join(digest({**own.tensors, "mask": own.mask}) for own in modules)
        ranks.agree("the library's modules", told.encode())
    with job.phase("recover"):
        job.cut(plan)
        for own in modules:
            write(job.student, own.tensors)
    return plan
