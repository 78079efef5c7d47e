"""The model card of a run, beside its weights."""

from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from prunus.checkpoint._sentences import MODULES
from prunus.files import write_bytes
from prunus.recipe._model import Recipe
from prunus.recipe.rewrite import opening
from prunus.report import Report
from prunus.report._card import CARD, SENTENCES, Origin, card, front
from prunus.task import Task
from prunus.task._locate import PACKAGE


def write_card(report: Report, recipe: Recipe, task: Task, folder: Path, source: Path) -> None:
    """Write README.md into a checkpoint.

    Args:
        report: of its run.
        recipe: what was run.
        task: the recipe's.
        folder: the checkpoint.
        source: that of the dense model, whose licence, languages and data are carried over from
            its own card.
    """
    data: Any = getattr(task, "data", None)
    dataset = _on_hub(data) if "/" in str(data) else None  # one word names a set that we know
    origin = Origin(
        opening=opening(folder),
        base=_on_hub(recipe.model),
        dataset=dataset,
        config=getattr(task, "config", None) if dataset else None,
        pipeline=task.pipeline,
        library=SENTENCES if (folder / MODULES).is_file() else "transformers",
        front=front(source / CARD),
    )
    write_bytes(folder / CARD, card(report, origin).encode())


def _on_hub(name: Any) -> str | None:
    """A hub id, if it is one, and no path."""
    if not isinstance(name, str) or name.startswith(PACKAGE) or Path(name).expanduser().exists():
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name
