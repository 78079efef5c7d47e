"""Fine-tuning of a dense model with transformers' Trainer."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.progress import track
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from prunus import ranks
from prunus.errors import PrunusError
from prunus.files import folder_beside
from prunus.formats import Format
from prunus.networks._fresh import Fresh
from prunus.networks._network import Network
from prunus.registry import spelt
from prunus.task._locate import resolve
from prunus.task._network import hushed, open_network
from prunus.task._prepared import Prepared
from prunus.task._task import Task, TextTask
from prunus.task._training import Training

RECORD = "training.json"
FORMAT = Format("record of a training", unsaid=1)


def train(
    model: str | Path | Network | Fresh,
    task: Task,
    training: Training,
    out: str | Path,
    quiet: bool = False,
) -> Path:
    """Fine-tune a model on a task and save it, with its processor and ``training.json``.

    Args:
        model: a folder, ``package:module/folder``, or a hub id; a head that does not fit the task
            is made anew; or a network to be made, with its tokenizer where it reads texts.
        task: what to learn.
        training: how.
        out: the folder to be written; it appears complete, at the end.
        quiet: show no progress.

    Returns:
        ``out``. Its ``training.json`` holds the settings, the seconds, the history, and the quality
        on the validation split (in percent) unless ``training.evaluate`` is off.

    Raises:
        PrunusError: the model, the data or a split is missing, or ``out`` holds something else.
    """
    from prunus.task._fit import fit  # the Trainer takes two seconds to import

    _require_ours(Path(out))
    made = isinstance(model, Network | Fresh)
    where, started = None if made else resolve(model), time.perf_counter()
    if training.max_length is not None:
        task = task.cut_off(training.max_length)
    processor = _learnt(model, task) if isinstance(model, Fresh) else task.processor(where)
    prepared = task.prepare(processor)
    prepared.require(*training.splits, *(["validation"] if training.evaluate else []))
    set_seed(training.seed)
    network = _network(model, where, prepared, task, processor)
    prepared = prepared.fitted(network.config)
    with _beside(Path(out)) as folder:
        history = fit(network, prepared, training, folder, quiet or not ranks.first())
        record = {
            "format": FORMAT.version,
            "model": spelt(model) if made else str(model),
            "task": task.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "loss": history.loss,
            "history": [asdict(point) for point in history.points],
            "kept": history.kept,
            "seconds": time.perf_counter() - started,
            "quality": _quality(network, prepared, quiet or not ranks.first())
            if training.evaluate
            else None,
        }
        with hushed():
            network.save_pretrained(folder)
        processor.save_pretrained(folder)
        (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    ranks.gathered(b"")  # the folder is there
    return Path(out)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """The folder that becomes ``out``; of processes after the first, one that goes."""
    if ranks.first():
        with folder_beside(out) as folder:
            yield folder
    else:
        with TemporaryDirectory() as name:
            yield Path(name)


def _learnt(model: Fresh, task: Task) -> PreTrainedTokenizerBase:
    """The tokenizer of a network that is to be made."""
    if not isinstance(task, TextTask):
        raise PrunusError(f"a new {model.name} reads texts, which this task has not")
    return task.tokenizer_for(model)


def _network(
    model: str | Path | Network | Fresh,
    where: str | Path | None,
    prepared: Prepared[Any],
    task: Task,
    processor: Any,
) -> PreTrainedModel:
    said = {**prepared.head_config(), **prepared.input_config()}
    if isinstance(model, Network):
        return model.build(said)
    if isinstance(model, Fresh):
        return model.build(task.head, processor, said)
    assert where is not None
    return open_network(where, prepared, task.head)


def _require_ours(out: Path) -> None:
    """The folder is replaced as a whole, so it must not be one that holds anything else."""
    if out.exists() and not (out / RECORD).is_file() and (out.is_file() or any(out.iterdir())):
        raise PrunusError(
            f"{out} exists and was not written by training; choose another folder or remove it"
        )


def _quality(model: nn.Module, prepared: Prepared, quiet: bool) -> dict[str, Any]:
    shown = None if quiet else partial(track, description="validation")
    quality = prepared.evaluate(model, progress=shown)
    kept = ("metric", "value", "stderr", "n", "extra", "signature")
    return {name: getattr(quality, name) for name in kept} | {"baselines": prepared.baselines()}
