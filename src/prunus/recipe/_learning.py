"""What a recipe's drive learns from, where it trains."""

from prunus.drive import Learning
from prunus.errors import PrunusError
from prunus.loss import Objective
from prunus.recipe._model import Recipe
from prunus.recipe._open import folder_of, open_model
from prunus.recipe._parts import Parts
from prunus.task import Prepared


def learning(recipe: Recipe, chosen: Parts, dense: object, prepared: Prepared) -> Learning | None:
    """The training of a recipe; None where its drive does not train.

    Args:
        recipe: whose training it is.
        chosen: its parts.
        dense: the dense model, which teaches unless another teacher is named.
        prepared: the task.

    Raises:
        PrunusError: the task lacks a split that the training needs, or a teacher is named that is
            not asked or cannot be opened.
    """
    if not recipe.trains:
        return None
    prepared.require(*chosen.training.splits)
    named = recipe.teacher
    teacher = dense if named is None else open_model(folder_of(named), recipe.device)
    objective = Objective(chosen.losses, teacher)
    if named is not None and objective.teacher is None:
        raise PrunusError(
            f"teacher: no term of the losses ({', '.join(objective.terms)}) asks a teacher; add"
            " logits or hidden, or leave the teacher out"
        )
    return Learning(prepared, chosen.training, objective)
