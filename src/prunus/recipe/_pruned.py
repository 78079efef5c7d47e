"""The plan and the shrunk model of a run, made by its drive, or kept from before."""

from transformers import PreTrainedModel

from prunus.drive import Job, finish, pack, unpack
from prunus.plan import Plan
from prunus.recipe._stage import Stage
from prunus.task import Prepared, Quality

PRUNED, BARE = "pruned", "shrunk"


def pruned(
    stage: Stage, prepared: Prepared, job: Job
) -> tuple[Plan, PreTrainedModel, Quality | None]:
    """The plan, the model, and its quality before the touch-up, if there is one.

    What drive: library composed is composed again, as its modules are kept in any case.

    Args:
        stage: the run.
        prepared: the task.
        job: not yet run.
    """
    kept = stage.safe.get(PRUNED)
    if kept is not None:
        return *unpack(job, kept), stage.known(BARE)
    before = list[Quality]()
    stage.safe.reseed(PRUNED)
    plan = stage.parts.drive.run(job)
    with stage.phase("shrink"):
        small = finish(job, plan, lambda bare: before.append(stage.evaluate(bare, prepared, BARE)))
    if job.composed is None:
        job.safe.drop()
        stage.safe.put(PRUNED, pack(job, plan))
    return plan, small, next(iter(before), None)
