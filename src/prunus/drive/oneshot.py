"""Score once, select once, then mend every reader from the bottom up."""

from contextlib import AbstractContextManager, nullcontext
from math import sqrt
from typing import Literal

from prunus.drive._drive import Drive, mended
from prunus.drive._job import Found, Job
from prunus.drive._kept import known
from prunus.edit import mask
from prunus.plan import Plan
from prunus.select import Budget


class Oneshot(Drive):
    """One scoring pass decides everything.

    Attributes:
        teacher: what repairs hold the student to: the ``dense`` model, or the dense model under a
            ``milder`` plan by the same scores, at the square root of every density (the teacher of
            Kwon et al., arXiv 2204.09656).
    """

    teacher: Literal["dense", "milder"] = "dense"

    def run(self, job: Job) -> Plan:
        """Score what was not scored yet, select, recover."""
        known(job)
        return self.recover(job, job.select(job.found, Plan()))

    def recover(self, job: Job, plan: Plan) -> Plan:
        """Mend under a plan for a job that was scored, however the plan was chosen."""
        with self._teaching(job, job.found):
            return mended(job, plan)

    def _teaching(self, job: Job, found: Found) -> AbstractContextManager:
        """The dense model becomes the teacher meanwhile."""
        if self.teacher == "dense":
            return nullcontext()
        with job.phase("select"):
            plan = job.choose(found, Plan(), _milder(job.budget))
        return mask(job.model, job.sites, plan)


def _milder(budget: Budget) -> Budget:
    """The budget with the square root of every density."""
    rules = tuple(
        rule.model_copy(update={"density": sqrt(rule.density)} if rule.density else {})
        for rule in budget.rules
    )
    return budget.model_copy(update={"density": sqrt(budget.density), "rules": rules})
