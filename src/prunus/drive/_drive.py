"""The contract of a drive."""

from prunus.drive._job import Job
from prunus.plan import Plan
from prunus.registry import Part


class Drive(Part):
    """Says when things happen: it runs a job to its plan, mending the job's student on the way."""

    def run(self, job: Job) -> Plan:
        """The plan; ``job.student`` is then cut and mended as far as repairs go."""
        raise NotImplementedError


def mended(job: Job, plan: Plan) -> Plan:
    """Mend every reader under a plan, from the bottom up.

    Returns:
        The plan; repairs may have put units in the place of others.
    """
    if not job.repairs:
        return plan
    readers = job.readers()
    job.narrow(plan)
    with job.march() as march:
        for done, reader in enumerate(readers):
            job.step("recover", done, len(readers))
            plan = job.mend(march, reader, plan)
    return plan
