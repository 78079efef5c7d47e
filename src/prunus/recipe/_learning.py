"""What a recipe's drive learns from, where it trains."""

from pathlib import Path

from prunus.drive import Learning
from prunus.loss import Objective
from prunus.recipe._model import GRADUAL
from prunus.recipe._open import folder_of, open_model
from prunus.recipe._stage import Stage
from prunus.task import Prepared


def learning(stage: Stage, dense: object, prepared: Prepared) -> Learning | None:
    """The training of a recipe; None where its drive does not train.

    Args:
        stage: whose recipe it is.
        dense: the dense model, which teaches unless another teacher is named.
        prepared: the task.

    Raises:
        PrunusError: the task has no training split, or a teacher is named that is not asked or
            cannot be opened.
    """
    recipe = stage.recipe
    if recipe.drive["name"] != GRADUAL:
        return None
    prepared.require("train")
    named = recipe.teacher
    teacher = dense if named is None else open_model(folder_of(named), recipe.device)
    objective = Objective(stage.parts.losses, teacher)
    return Learning(prepared, stage.parts.training, objective, checkpoints_of(stage.out))


def checkpoints_of(out: Path) -> Path:
    """Where a run that trains keeps its checkpoints until it is done."""
    return out.with_name(f"{out.name}.checkpoints")
