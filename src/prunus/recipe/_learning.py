"""What a recipe's drive learns from, where it trains."""

from pathlib import Path

from prunus.drive import Learning
from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.loss import Objective
from prunus.recipe._model import Recipe
from prunus.recipe._open import folder_of, open_model
from prunus.recipe._parts import Parts
from prunus.task import Prepared

RECIPE = "recipe.yaml"


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
    return Learning(prepared, chosen.training, objective, checkpoints)


def checkpoints_of(out: Path) -> Path:
    """Where a run that trains keeps its checkpoints until it is done."""
    return out.with_name(f"{out.name}.checkpoints")


def claim(checkpoints: Path, recipe: str) -> None:
    """Let a run go on from checkpoints of its own recipe alone.

    Args:
        checkpoints: their folder, which is made if there is none.
        recipe: with every default spelt out.

    Raises:
        PrunusError: they are those of another recipe.
    """
    said = checkpoints / RECIPE
    if said.is_file() and said.read_text(encoding="utf-8") != recipe:
        raise PrunusError(
            f"{checkpoints} holds the training of another recipe, see {said.name} in it; remove"
            " that folder, or choose another one for the run"
        )
    write_bytes(said, recipe.encode())
