"""Bottom-up, one sublayer at a time (K-prune, Park et al., ICLR 2024, algorithm 1)."""

from contextlib import nullcontext
from functools import partial

from prunus.drive._drive import Drive, settled
from prunus.drive._job import Job
from prunus.plan import Plan
from prunus.site import Site


class Sweep(Drive):
    """Score all that is left, select as if for good, keep the next sublayer's part, mend it.

    Later sublayers are scored on the student as it then is, so that each decision knows the
    damage done below it.
    """

    def run(self, job: Job) -> Plan:
        """Sweep over the readers in forward order."""
        plan = Plan()
        readers = job.readers()
        with job.march() if job.repairs else nullcontext() as march:
            for done, reader in enumerate(readers):
                job.step("sweep", done, len(readers))
                plan = settled(job, march, reader, plan, partial(_chosen, job, reader))
        return plan


def _chosen(job: Job, reader: Site, plan: Plan) -> Plan:
    """The plan with what a reader's sites keep, as all that is left is scored now."""
    chosen = job.select(job.score(plan), plan)
    return plan | {name: chosen[name] for name in job.at(reader)}
