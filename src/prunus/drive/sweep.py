"""Bottom-up, one sublayer at a time (K-prune, Park et al., ICLR 2024, algorithm 1)."""

from contextlib import nullcontext

from prunus.drive._drive import Drive
from prunus.drive._job import Job
from prunus.plan import Plan


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
                chosen = job.select(job.score(plan), plan)
                plan = plan | {name: chosen[name] for name in job.at(reader)}
                if march:
                    plan = job.mend(march, reader, plan)
                else:
                    job.cut({name: plan[name] for name in job.at(reader)})
        return plan
