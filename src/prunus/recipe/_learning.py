"""What a recipe's drive learns from, where it trains."""

from pathlib import Path

from prunus.drive import Learning
from prunus.loss import Objective
from prunus.recipe._model import GRADUAL, Recipe
from prunus.recipe._open import folder_of, open_model
from prunus.recipe._parts import Parts
from prunus.task import Prepared


def learning(
    recipe: Recipe, chosen: Parts, dense: object, prepared: Prepared, checkpoints: Path
) -> Learning | None:
    """The training of a recipe; None where its drive does not train.

    Args:
        recipe: whose training it is.
        chosen: its parts.
        dense: the dense model, which teaches unless another teacher is named.
        prepared: the task.
        checkpoints: where the training is saved as it goes on, if it is.

    Raises:
        PrunusError: the task has no training split, or a teacher is named that is not asked or
            cannot be opened.
    """
    if recipe.drive["name"] != GRADUAL:
        return None
    prepared.require("train")
    named = recipe.teacher
    teacher = dense if named is None else open_model(folder_of(named), recipe.device)
    objective = Objective(chosen.losses, teacher)
    return Learning(prepared, chosen.training, objective, checkpoints)


def checkpoints_of(out: Path) -> Path:
    """Where a run that trains keeps its checkpoints until it is done."""
    return out.with_name(f"{out.name}.checkpoints")
