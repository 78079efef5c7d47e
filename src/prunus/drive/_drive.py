"""The contract of a drive."""

from collections.abc import Callable

from prunus.drive._job import Job
from prunus.drive._notes import Notes
from prunus.plan import Plan
from prunus.probe import March
from prunus.registry import Part
from prunus.safe import Kept
from prunus.site import Site

PLAN = "plan/"


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
            plan = settled(job, march, reader, plan, lambda plan: plan)
    return plan


def settled(
    job: Job, march: March | None, reader: Site, plan: Plan, choose: Callable[[Plan], Plan]
) -> Plan:
    """One reader settled for good: its units chosen, mended and cut, or all that as before.

    Args:
        job: whose student it is in.
        march: on its way; None mends nothing.
        reader: the next one.
        plan: what stays of those before.
        choose: makes of it one that speaks of this reader.

    Returns:
        The plan; repairs may have put units in the place of others.
    """
    name, names = f"reader {reader.name}", job.at(reader)
    kept = job.safe.get(name)
    plan = choose(plan) if kept is None else plan | kept.under(PLAN)
    chosen = {f"{PLAN}{name}": plan[name] for name in names}
    job.notes = Notes(None if kept is None else dict(kept.tensors))
    if march is None:
        job.cut({name: plan[name] for name in names})
    else:
        march.passing = kept is not None
        plan = job.mend(march, reader, plan)
    if kept is None:
        job.safe.put(name, Kept(None, {**chosen, **job.notes.found}))
    return plan
