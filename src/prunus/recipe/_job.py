"""The job that a recipe gives its drive."""

from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedModel

from prunus.anatomy import anatomy
from prunus.drive import Job, job_of
from prunus.probe import Room
from prunus.recipe._learning import learning
from prunus.recipe._stage import Stage
from prunus.recipe._touch_up import training
from prunus.task import Prepared


def job_for(
    stage: Stage, model: PreTrainedModel, prepared: Prepared, batches: Sequence[dict[str, Tensor]]
) -> Job:
    """The job of a recipe on a dense model and its data.

    Args:
        stage: the recipe, its parts, and where it is carried out.
        model: the dense model.
        prepared: the task.
        batches: calibration data.

    Raises:
        PrunusError: the model lacks a site, or a part of the recipe does not fit it.
    """
    recipe, chosen = stage.recipe, stage.parts
    sites = anatomy(model).chosen(recipe.sites)
    if sites.spared:
        stage.log.info("the head stays dense: %s", ", ".join(sites.spared))
    job = job_of(
        model, sites, stage.bars.over(batches, "calibration data"),
        score=chosen.score, budget=chosen.budget, select=chosen.select, recover=chosen.recover,
        training=training(stage, prepared),
        learning=learning(recipe, chosen, model, prepared),
        adapt=chosen.adapt, scored=recipe.calibration.scored,
        precision=recipe.calibration.precision,
        room=Room(recipe.calibration.memory * 2**20, stage.folder),
        phase=stage.watch, step=stage.step,
    )  # fmt: skip
    if chosen.budget.round_to == "auto":
        stage.log.info("round_to: %s", job.budget.round_to)
    job.keep = stage.folder / "adapters"
    job.safe = stage.safe.within("prune")
    return job
