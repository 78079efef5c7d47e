"""Fine-tuning of a dense model with transformers' Trainer."""

import json
import time
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import track
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from prunus import ranks
from prunus.errors import PrunusError
from prunus.formats import Format
from prunus.networks._fresh import Fresh
from prunus.networks._network import Network
from prunus.notation import read_json
from prunus.registry import Part, spelt
from prunus.safe import SafePoints, Work
from prunus.task._locate import resolve
from prunus.task._network import hushed, moved, open_network
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
    every: float | None = None,
    resume: bool = False,
    device: str = "cpu",
) -> Path:
    """Fine-tune a model on a task and save it, with its processor and ``training.json``.

    Args:
        model: a folder, ``package:module/folder``, or a hub id; a head that does not fit the task
            is made anew; or a network to be made, with its tokenizer where it reads texts.
        task: what to learn.
        training: how.
        out: the folder to be written; it appears complete, at the end.
        quiet: show no progress.
        every: seconds of work that are lost at most when it is cut off; None keeps nothing.
        resume: go on where it was cut off, if it was; what is done is not done again.
        device: where torch computes; ``cuda`` is each process's own one.

    Returns:
        ``out``. Its ``training.json`` holds the settings, the seconds, the history, and the quality
        on the validation split (in percent) unless ``training.evaluate`` is off.

    Raises:
        PrunusError: the model, the data or a split is missing; ``out`` holds something else, or
            another process works there; there are safe points of another training, or nobody
            asked to go on from them; or the device is not there.
    """
    out = Path(out)
    _require_ours(out)
    said = {
        "model": spelt(model) if isinstance(model, Part) else str(model),
        "task": task.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
    }
    work = Work(out, said, every, training.seed, resume)
    with work.alone():
        done = ranks.by_first(lambda: resume and not work.folder.exists() and _is_done(out, said))
        if not ranks.number(bool(done)):
            with work.begun() as (folder, safe):
                hidden = quiet or not ranks.first()
                _trained(model, task, training, folder, hidden, safe, said, device)
    ranks.gathered(b"")  # the folder is there
    return out


def _is_done(out: Path, said: dict[str, Any]) -> bool:
    """Whether a folder holds the result of this very training."""
    if not (out / RECORD).is_file():
        return False
    there = read_json(out / RECORD)
    return all(there[key] == own for key, own in said.items())


def _trained(
    model: str | Path | Network | Fresh,
    task: Task,
    training: Training,
    folder: Path,
    quiet: bool,
    safe: SafePoints,
    said: dict[str, Any],
    device: str,
) -> None:
    from prunus.task._fit import fit  # the Trainer takes two seconds to import

    began, before = time.perf_counter(), safe.told.get("seconds", {}).get("total", 0.0)

    def facts() -> dict[str, Any]:
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        spent = before + time.perf_counter() - began
        return {"at": "train", "saved": now, "seconds": {"total": spent}}

    safe.store.facts = facts
    where = None if isinstance(model, Network | Fresh) else resolve(model)
    if training.max_length is not None:
        task = task.cut_off(training.max_length)
    processor = _learnt(model, task) if isinstance(model, Fresh) else task.processor(where)
    prepared = task.prepare(processor)
    prepared.require(*training.splits, *(["validation"] if training.evaluate else []))
    set_seed(training.seed)
    network = moved(_network(model, where, prepared, task, processor), device)
    prepared = prepared.fitted(network.config)
    history = fit(network, prepared, training, folder, quiet, safe=safe, name="train")
    record = {
        "format": FORMAT.version,
        **said,
        "loss": history.loss,
        "history": [asdict(point) for point in history.points],
        "kept": history.kept,
        "seconds": facts()["seconds"]["total"],
        "quality": _quality(network, prepared, quiet) if training.evaluate else None,
    }
    with hushed():
        network.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n")


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
