"""Opening what a recipe names: the model, its tokenizer, its task."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import PreTrainedModel

from prunus import export
from prunus.checkpoint import load, transformer_of
from prunus.errors import PrunusError
from prunus.export import FILE
from prunus.recipe._model import Recipe
from prunus.recipe._parts import Parts
from prunus.select import Selector
from prunus.select.measured import Measured
from prunus.task import Batches, Prepared, Task, resolve
from prunus.task._network import hushed, moved

FILES = ("*.json", "*.txt", "*.model", "*.jinja", "README.md")
WEIGHTS = "*.safetensors"
REPORT = "report.json"
DEVELOPMENT = "development"
DRAWN = 1000
"""Examples on which a search measures, where the recipe does not say how many."""


def folder_of(where: str | Path, weights: bool = True) -> Path:
    """The local folder of a checkpoint; what the hub has is fetched, a run is its model.

    Args:
        where: a folder, ``package:module/folder``, or a hub id.
        weights: whether they are fetched too.

    Raises:
        PrunusError: it is nowhere.
    """
    place = resolve(where)
    if isinstance(place, str):
        files = [*FILES, *[WEIGHTS] * weights]
        try:
            return Path(snapshot_download(place, allow_patterns=files))
        except Exception as error:  # whatever the hub's client and its transport may raise
            raise PrunusError(f"{place} cannot be fetched from the hub: {error}") from None
    return place / "model" if (place / REPORT).is_file() else place


def require_checkpoint(folder: Path) -> None:
    """Check that a folder is no export, whose weights lie in graphs.

    Raises:
        PrunusError: it is one.
    """
    if (folder / FILE).is_file():
        raise PrunusError(
            f"{folder} is an export, which `prunus eval` and `prunus bench` alone read; give the"
            " checkpoint that it came from"
        )


def open_model(folder: Path, device: str = "cpu") -> PreTrainedModel:
    """The model of a checkpoint in float32, ready to answer.

    Raises:
        PrunusError: the checkpoint is broken, incomplete or an export, or the device is not there.
    """
    require_checkpoint(folder)
    with hushed():
        model: Any = load(folder, dtype=torch.float32)
    return moved(model.eval(), device)


def open_any(folder: Path) -> Any:
    """The model of a checkpoint as :func:`open_model` gives it, or an exported one in its runtime.

    Raises:
        PrunusError: it is broken or incomplete, or its runtime is not installed.
    """
    if not (folder / FILE).is_file():
        return open_model(folder)
    with hushed():
        return export.load(folder)


def processor_of(task: Task, folder: Path) -> Any:
    """What makes the inputs of a checkpoint for a task: its tokenizer, or what its pixels are.

    Raises:
        PrunusError: the folder holds none, or none that opens.
    """
    return task.processor(transformer_of(folder))


def searches(chosen: Parts) -> str | None:
    """What a run measures on a development split, if anything."""
    if chosen.budget.max_loss is not None:
        return "max_loss"
    return "select: measured" if measures(chosen.select) else None


def measures(select: Selector) -> bool:
    """Whether a selector wants sites measured before a run chooses."""
    return isinstance(select, Measured) and select.table is None


def prepare(task: Task, model: PreTrainedModel, processor: Any, seed: int) -> Prepared[Any]:
    """The task's data, checked against the model's head.

    Raises:
        PrunusError: the model has no head for the task, or the data is missing or does not fit.
    """
    if not task.answered_by(model):
        raise PrunusError(
            f"a {type(model).__name__} has no head for the task, which needs one"
            f" For{task.head}; `prunus train` fine-tunes one (see `prunus ls recipes`)"
        )
    config: Any = model.config
    head = [str(config.id2label.get(index, index)) for index in range(config.num_labels)]
    return task.prepare(processor, config.num_labels, seed, head).fitted(config)


def data_of(
    recipe: Recipe, chosen: Parts, model: PreTrainedModel, processor: Any, what: str | None = None
) -> Prepared[Any]:
    """The data of a recipe, with the splits that it names; a search measures on one of its own.

    Args:
        recipe: its splits.
        chosen: its parts.
        model: whose inputs are made.
        processor: what makes them.
        what: is measured on a development split, if anything.

    Raises:
        PrunusError: as :func:`prepare`, or a split is missing, or the search would measure on what
            the scores or the report see.
    """
    others = recipe.calibration.split, recipe.evaluation.split
    if what is None:
        prepared = prepare(chosen.task, model, processor, recipe.seed)
    else:
        prepared = _with_development(chosen.task, model, processor, recipe.seed, others, what)
    prepared.require(*others)
    if recipe.latency and recipe.latency.length and prepared.longest(model.config) is None:
        raise PrunusError("latency.length: the examples of this task have no tokens; leave it out")
    return prepared


def _with_development(
    task: Task,
    model: PreTrainedModel,
    processor: Any,
    seed: int,
    others: Iterable[str],
    what: str,
) -> Prepared[Any]:
    """Where the task names no development split, rows of the training split are drawn."""
    for split in others:
        if _shares(task, split):
            raise PrunusError(
                f"{what} is measured on rows of their own, but the split {split!r} of the report"
                " or the calibration shares rows with the development split; draw one:"
                f" task.splits.{DEVELOPMENT}={DRAWN}"
            )
    prepared = prepare(task, model, processor, seed)
    if DEVELOPMENT in prepared.splits:
        return prepared
    drawn = task.model_copy(update={"splits": {**task.splits, DEVELOPMENT: DRAWN}})
    try:
        return prepare(drawn, model, processor, seed)
    except PrunusError as error:
        raise PrunusError(
            f"{error}; {what} measures on {DRAWN} rows unless the recipe says how many:"
            f" task.splits.{DEVELOPMENT}=200"
        ) from None


def _shares(task: Task, split: str) -> bool:
    """Whether a split holds rows of the development split, or of what that is drawn from."""
    said: dict[str, str | int] = {**task.splits}
    theirs, own = (said.get(name, name) for name in (DEVELOPMENT, split))
    drawn = isinstance(theirs, int) or DEVELOPMENT not in said
    pool = said.get("train", "train")
    return isinstance(own, str) and (own == theirs or (drawn and split != "train" and own == pool))


def to(batches: Batches, device: str) -> list[dict[str, torch.Tensor]]:
    """The same batches on a device."""
    return [{name: tensor.to(device) for name, tensor in batch.items()} for batch in batches]
