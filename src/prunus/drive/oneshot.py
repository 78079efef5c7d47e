"""Score once, select once, then mend every reader from the bottom up."""

from prunus.drive._drive import Drive
from prunus.drive._job import Job
from prunus.plan import Plan


class Oneshot(Drive):
    """One scoring pass decides everything."""

    def run(self, job: Job) -> Plan:
        """Score, select, recover."""
        plan = job.select(job.score(Plan()), Plan())
        if job.repairs:
            readers = job.readers()
            for done, site in enumerate(readers):
                job.step("recover", done, len(readers))
                job.recover(site, plan)
        return plan
