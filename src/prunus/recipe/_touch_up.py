"""What a touch-up learns from, and its row in the report."""

from prunus.drive import Job
from prunus.recipe._open import to
from prunus.recipe._stage import Stage
from prunus.recover import TouchUp
from prunus.report import _schema as schema
from prunus.task import Prepared, Quality, difference

TRAIN = "train"


def training(stage: Stage, prepared: Prepared) -> list[dict] | None:
    """The task's training split without labels; None where it has none, or nothing is to train."""
    repairs, data = stage.parts.recover, stage.recipe.calibration
    if not any(isinstance(part, TouchUp) for part in repairs) or TRAIN not in prepared.splits:
        return None
    with stage.phase("data"):
        batches = to(prepared.batches(TRAIN, data.batch_size), stage.recipe.device)
    return [prepared.inputs(batch) for batch in batches]


def row(stage: Stage, job: Job, before: Quality, pruned: Quality) -> schema.TouchUp:
    """What a touch-up gave back.

    Args:
        stage: whose recipe ends with it.
        job: the job that it ended.
        before: what the pruned model answered before it.
        pruned: what it answers now.
    """
    assert job.trained is not None
    gained = difference(pruned, before)
    return schema.TouchUp(
        name=stage.recipe.recover[-1]["name"],
        learnt=job.trained.learnt,
        before=before.value,
        gained=gained.value,
        margin=gained.margin,
        minutes=job.trained.seconds / 60,
        steps=job.trained.steps,
        loss=job.trained.loss,
        split=stage.recipe.calibration.split if job.training is None else TRAIN,
        samples=job.trained.samples,
    )
