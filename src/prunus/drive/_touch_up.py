"""The last step of a job: its student trained as a whole."""

from prunus.drive._job import Job
from prunus.recover import Pruned, TouchUp, Trained


def touch_up(job: Job, part: TouchUp) -> Trained:
    """Train a job's student, cut and mended; what its grids mask stays masked.

    Raises:
        PrunusError: what the touch-up cannot do.
    """
    grids = [site for site in job.sites.values() if not site.removable]
    pruned = Pruned(
        student=job.student,
        dense=job.model,
        batches=job.batches if job.training is None else job.training,
        masked=frozenset(own.tensor for site in grids for own in site.slices),
        computing=job.computing,
        step=job.step,
        adapt=job.adapt,
        safe=job.safe,
    )
    with job.phase("touch_up"):
        return part.mend(pruned)
