"""Train, rank, cut a little, recover; and again."""

from dataclasses import replace
from functools import partial
from typing import Self

import torch
from pydantic import (
    NonNegativeFloat,
    PositiveInt,
    model_validator,
)
from torch import Tensor

from prunus.adapt import Adaptation, attach, freeze, merge, trained_parameters
from prunus.anatomy import Anatomy
from prunus.checkpoint import save_adapters
from prunus.curve import Curve
from prunus.drive._drive import Drive
from prunus.drive._job import Found, Job
from prunus.drive._kept import pack, unpack
from prunus.drive._learning import Learning, learning_of
from prunus.drive._way import Falling, on
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.registry import spelt
from prunus.schedule.linear import Linear
from prunus.select import masks
from prunus.tracking import chosen, scored, tell

STEP, TRAIN = "step", "train"


class Stepwise(Drive):
    """Score the network, remove the units that matter least, train what is left, several times.

    What a step removes is gone at once: tensors are smaller in the training that follows. This is
    the loop of Molchanov et al. (arXiv 1611.06440), of Yeom et al. (arXiv 1912.08881), and of
    structured pruning adapters (Hedegaard et al., arXiv 2211.10155); every training begins anew at
    the settings' learning rate.

    Attributes:
        steps: how many times units are removed; 1 is one-shot.
        schedule: how the density falls from step to step.
        before: epochs of training before the first units go.
        recovery: epochs of training after each step.
        after: epochs of training after the last one; None is the same as after the others.
    """

    steps: PositiveInt = 10
    schedule: Falling = Linear()
    before: NonNegativeFloat = 0.0
    recovery: NonNegativeFloat = 1.0
    after: NonNegativeFloat | None = None

    @model_validator(mode="after")
    def _in_steps(self) -> Self:
        said = [
            key for key in ("warmup", "cooldown", "every") if key in self.schedule.model_fields_set
        ]
        if said:
            raise PrunusError(
                f"schedule.{said[0]} is of drive: gradual; here say steps, before, recovery, after"
            )
        return self

    def run(self, job: Job) -> Plan:
        """Remove and train in turns; the student is then small, and adapters are merged.

        Raises:
            PrunusError: there is nothing to learn from, or a site can only be masked.
        """
        learning = learning_of(job, "stepwise")
        _require_removable(job.sites)
        _require_riding(job.adapt)
        job.student.requires_grad_(True)
        if job.adapt is not None:
            attach(job.student, job.adapt)
            freeze(job.student)
            job.reread()
        done, plan = _resumed(job)
        if done is None:
            self._train(job, learning, "before", self.before)
            done = _keep(job, plan, 0)
        for step in range(done + 1, self.steps + 1):
            job.step("step", step - 1, self.steps)
            plan = self._cut(job, plan, step / self.steps)
            last = step == self.steps and self.after is not None
            epochs = (self.after or 0.0) if last else self.recovery
            self._train(job, learning, f"step {step}", epochs)
            _keep(job, plan, step)
        job.learnt = trained_parameters(job.student)
        if job.adapt is not None and job.keep is not None:
            save_adapters(job.student, job.keep, job.model, plan)
        merge(job.student)
        job.reread()
        return plan

    def _cut(self, job: Job, plan: Plan, way: float) -> Plan:
        """The student without what goes on this part of the way; the plan without it."""
        gone = Plan({name: stays for name, stays in plan.items() if not stays.any()})
        found: Found = {n: _dense(job, n, own) for n, own in job.score(gone).items()}
        with job.phase("select"):
            stays = masks(
                found, job.sites, on(job.budget, self.schedule, way), job.cost, gone,
                per_cost=job.criterion.adds_up, selector=job.selector,
            )  # fmt: skip
        plan = plan & Plan(stays)
        job.cut(plan)
        tell(lambda: {**scored(found, job.sites), **chosen(plan, job.sites)})
        return plan

    def _train(self, job: Job, learning: Learning, name: str, epochs: float) -> None:
        if not epochs:
            return
        with job.phase("train"):
            told = partial(job.step, "train")
            history = learning.lasting(epochs).train(
                job.student, None, told, job.safe, f"{TRAIN} {name}"
            )
        job.history.append(replace(history, name=name))
        job.student.eval()


def _require_removable(sites: Anatomy) -> None:
    for site in sites.values():
        if not site.removable:
            raise PrunusError(
                f"site {site.name!r}: drive: stepwise removes units, and those of grids can only be"
                " masked; use drive: gradual"
            )


def _require_riding(part: Adaptation | None) -> None:
    if part is not None and not part.rides:
        raise PrunusError(
            f"adapt: {spelt(part)['name']}: drive: stepwise cuts layers with their adapters, and"
            " blocks are not cut; use drive: gradual, which merges them before it cuts, or splora"
        )


def _dense(job: Job, name: str, own: Tensor | Curve) -> Tensor:
    """[units of the dense site] scores of those that the student has, -inf of the others.

    Raises:
        PrunusError: a curve, whose units are not told apart.
    """
    if isinstance(own, Curve):
        raise PrunusError(
            "drive: stepwise ranks units, again and again; use select: greedy or threshold"
        )
    scores = torch.full((job.sites[name].units,), -torch.inf, dtype=torch.float64)
    scores[job.alive[name]] = own.double().cpu().flatten()
    return scores


def _keep(job: Job, plan: Plan, step: int) -> int:
    """Keep the student after a step, in the place of the one before."""
    job.safe.drop(TRAIN)
    job.safe.put(STEP, pack(job, plan, step=step))
    return step


def _resumed(job: Job) -> tuple[int | None, Plan]:
    """The last step that was kept, if one was, and its plan; the student is as it left it."""
    kept = job.safe.get(STEP)
    return (None, Plan()) if kept is None else (kept.said["step"], unpack(job, kept))
