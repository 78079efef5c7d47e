"""Pruning while the network trains."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from prunus.adapt import adapted, attach, freeze, merge, trained_parameters
from prunus.anatomy import Anatomy
from prunus.checkpoint import save_adapters
from prunus.drive._course import Course, courses
from prunus.drive._drive import Drive
from prunus.drive._gates import Gates
from prunus.drive._job import Job
from prunus.drive._learning import learning_of
from prunus.drive._pruner import Pruner
from prunus.drive._way import Falling
from prunus.edit import shrink
from prunus.edit.dead import fold_dead
from prunus.plan import Plan
from prunus.schedule.cubic import Cubic


class Gradual(Drive):
    """Train, and let more and more units go meanwhile, see :class:`prunus.drive._pruner.Pruner`.

    Where scores are learnt, and where the job has adapters, units are masked in the forward pass,
    and weights stay as they are until the end; adapters are then merged. Last of all heads, queries
    and neurons that nothing reads any more, or whose output no longer changes, go as well: their
    constants are folded into biases.

    Attributes:
        schedule: how the density falls, and when.
        regrow: let removed units come back where their scores rise again.
        lock: units whose weights are zero already stay removed.
        progressive: in how many parts blocks that were chosen go, their least weights first; 1 is
            all at once.
        lasso: coefficient of a group lasso on the blocks, until pruning is over.
        dead: remove dead units physically; not where runs of which few stay (2:4) would be torn
            apart.
    """

    schedule: Falling = Cubic()
    regrow: bool = False
    lock: bool = False
    progressive: PositiveInt = 1
    lasso: NonNegativeFloat = 0.0
    dead: bool = True

    def run(self, job: Job) -> Plan:
        """Train the student; the plan is what its masks and its zeros leave.

        Raises:
            PrunusError: there is nothing to learn from, or the criterion needs a pass over data.
        """
        learning = learning_of(job, "gradual")
        job.student.requires_grad_(True)
        sites = adapted_sites(job)
        found = tuple(courses(sites, job.criterion, self.schedule, job.budget, job.cost))
        gates = Gates(job.student, found)
        pruners: list[Pruner] = []

        def enter(model: nn.Module, optimizer: Optimizer, steps: int, epoch: int) -> Pruner:
            pruners.append(self.pruner(model, optimizer, found, steps, epoch, gates))
            return pruners[-1]

        with job.phase("train"):
            history = learning.with_penalty(gates.penalty).train(
                job.student, enter, partial(job.step, "train"), job.safe, "train", gates.groups()
            )
        job.history.append(history)
        job.student.eval()
        plan = self._merged(job, pruners[-1], sites)
        torn = any(site.among for site in job.sites.values())
        return plan & self._dead(job) if self.dead and not torn else plan

    def pruner(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        found: Sequence[Course],
        steps: int,
        epoch: int | None,
        gates: Gates | None = None,
    ) -> Pruner:
        """A pruner of these settings, see :class:`prunus.drive._pruner.Pruner`."""
        return Pruner(
            model, optimizer, found, steps, epoch, gates=gates,
            regrow=self.regrow, lock=self.lock, progressive=self.progressive, lasso=self.lasso,
        )  # fmt: skip

    def _merged(self, job: Job, pruner: Pruner, sites: Anatomy) -> Plan:
        """The plan; adapters are merged, once they are kept where the job keeps them."""
        if job.adapt is None:
            return pruner.detach()
        scores = sum(own.numel() for own in pruner.gates.scores.values())
        job.learnt = trained_parameters(job.student) - scores
        plan = pruner.detach()
        if adapted(job.student):
            job.learnt = trained_parameters(job.student)
            if job.keep is not None:
                _keep(job, job.keep, plan, sites, pruner.values)
            merge(job.student)
        return plan

    def _dead(self, job: Job) -> Plan:
        """Fold dead units of the student; the plan without them, of which the job then knows."""
        plan = fold_dead(job.student, next(iter(job.batches)))
        gone = Plan({name: stays for name, stays in plan.items() if not stays.all()})
        job.also(job.sites.read(job.model).only(gone))
        return gone


def adapted_sites(job: Job) -> Anatomy:
    """A job's sites, once its student has the adapters that the job asks for, and trains those.

    Raises:
        PrunusError: no layer can be adapted.
    """
    if job.adapt is None:
        return job.sites
    attach(job.student, job.adapt)
    freeze(job.student)
    grids = {name: site for name, site in job.sites.items() if not site.removable}
    return (job.sites.read(job.student) | grids).only(job.sites)


def _keep(job: Job, folder: Path, plan: Plan, sites: Anatomy, values: Mapping[str, Tensor]) -> None:
    """Write a student's adapters, cut by the plan; masks between 0 and 1 go with them."""
    soft = {name: own for name, own in values.items() if own.dtype != torch.bool}
    grids = {name: own for name, own in soft.items() if not sites[name].removable}
    small = shrink(job.student, plan, sites)
    save_adapters(small, folder, job.model, plan, sites, grids)
