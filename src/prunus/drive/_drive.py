"""The contract of a drive."""

from prunus.drive._job import Job
from prunus.plan import Plan
from prunus.registry import Part


class Drive(Part):
    """Says when things happen: it runs a job to its plan, mending the job's student on the way."""

    def run(self, job: Job) -> Plan:
        """The plan; ``job.student`` then holds the mended weights, still at full size."""
        raise NotImplementedError
