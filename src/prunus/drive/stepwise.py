"""Train, rank, cut a little, recover; and again."""

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Self

import torch
from pydantic import (
    NonNegativeFloat,
    PositiveInt,
    TypeAdapter,
    model_validator,
)
from safetensors import SafetensorError
from safetensors.torch import load_model, save
from torch import Tensor

from prunus import ranks
from prunus.adapt import Adaptation, attach, freeze, merge, trained_parameters
from prunus.anatomy import Anatomy
from prunus.checkpoint import save_adapters
from prunus.curve import Curve
from prunus.drive._drive import Drive
from prunus.drive._job import Found, Job
from prunus.drive._learning import Learning, learning_of
from prunus.drive._way import Falling, on
from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.plan import Plan
from prunus.registry import spelt
from prunus.schedule.linear import Linear
from prunus.select import masks
from prunus.task import History

STATE = "student.safetensors"
PLAN = "plan.safetensors"
HISTORY = "history.json"


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
        save: write the network after each step, so that a run that was broken off goes on there.
    """

    steps: PositiveInt = 10
    schedule: Falling = Linear()
    before: NonNegativeFloat = 0.0
    recovery: NonNegativeFloat = 1.0
    after: NonNegativeFloat | None = None
    save: bool = True

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
        done, plan = self._resumed(job, learning)
        if not done:
            self._train(job, learning, "before", self.before)
        for step in range(done + 1, self.steps + 1):
            job.step("step", step - 1, self.steps)
            plan = self._cut(job, plan, step / self.steps)
            last = step == self.steps and self.after is not None
            epochs = (self.after or 0.0) if last else self.recovery
            self._train(job, learning, f"step {step}", epochs)
            if self.save and step < self.steps and ranks.first():
                _keep(job, learning.checkpoints / f"step-{step}", plan)
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
            chosen = masks(
                found, job.sites, on(job.budget, self.schedule, way), job.cost, gone,
                per_cost=job.criterion.adds_up, selector=job.selector,
            )  # fmt: skip
        plan = plan & Plan(chosen)
        job.cut(plan)
        return plan

    def _train(self, job: Job, learning: Learning, name: str, epochs: float) -> None:
        if not epochs:
            return
        with job.phase("train"):
            told = partial(job.step, "train")
            history = learning.lasting(epochs).train(job.student, None, told, None)
        job.history.append(replace(history, name=name))
        job.student.eval()

    def _resumed(self, job: Job, learning: Learning) -> tuple[int, Plan]:
        """The steps that a run before has done, and its plan; the student is as it left it.

        Raises:
            PrunusError: what it left cannot be read, or is another network's.
        """
        found = learning.checkpoints.glob(f"step-*/{STATE}") if self.save else ()
        steps = [int(path.parent.name.removeprefix("step-")) for path in found]
        done = int(ranks.number(max(steps, default=0)))
        if not done:
            return 0, Plan()
        folder = learning.checkpoints / f"step-{done}"
        plan = Plan.load(folder / PLAN)
        said = json.loads((folder / HISTORY).read_text(encoding="utf-8"))
        job.history = TypeAdapter(list[History]).validate_python(said)
        job.cut(plan)
        try:
            load_model(job.student, folder / STATE)
        except (SafetensorError, RuntimeError) as error:
            raise PrunusError(f"{folder}: not a network to go on with ({error})") from None
        return done, plan


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


def _keep(job: Job, folder: Path, plan: Plan) -> None:
    """Write the student, the network last: a step with one is whole."""
    plan.save(folder / PLAN)
    write_bytes(folder / HISTORY, json.dumps([asdict(own) for own in job.history]).encode())
    state, owners = job.student.state_dict(), dict[int | str, str]()
    once = {
        name: tensor.contiguous()
        for name, tensor in state.items()
        if owners.setdefault(tensor.data_ptr() or name, name) == name  # tied names are one tensor
    }
    write_bytes(folder / STATE, save(once))
