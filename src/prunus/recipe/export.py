"""A checkpoint exported to another runtime, compared with torch on a task or on made-up inputs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prunus import export
from prunus.checkpoint import others_of, transformer_of
from prunus.errors import PrunusError
from prunus.export import Facts
from prunus.measure.target import positions
from prunus.recipe._bars import Bars
from prunus.recipe._model import Settings
from prunus.recipe._open import REPORT, folder_of, open_model, prepare, processor_of
from prunus.recipe._parts import build
from prunus.recipe._sample import random_sample
from prunus.recipe.rewrite import Beside
from prunus.registry import build as build_part
from prunus.task import Difference, Prepared, Quality, difference
from prunus.task._network import hushed, open_tokenizer

ROWS = 8
"""Examples of a task in each batch that is compared."""
BATCHES = 3
LENGTHS = (4, 9, 24)
"""Tokens of made-up texts; those of a batch differ, so that some are padded."""
LEFT_OUT = ("prunus.json", "*.index.json", "README.md")


@dataclass(frozen=True)
class Written:
    """An exported checkpoint.

    Attributes:
        folder: where it lies.
        facts: what was written and compared.
        qualities: of torch and of the export, where a task was named.
    """

    folder: Path
    facts: Facts
    qualities: tuple[Quality, Quality] | None = None

    @property
    def change(self) -> Difference | None:
        """How far the export is ahead of torch, example by example."""
        if self.qualities is None:
            return None
        before, after = self.qualities
        return difference(after, before)

    @property
    def left(self) -> list[str]:
        """Kinds of modules of a sentence-transformers checkpoint that the graph has not."""
        return others_of(self.folder)


def write(
    checkpoint: str,
    to: Settings,
    out: Path | None = None,
    task: Settings | None = None,
    split: str = "validation",
    quiet: bool = False,
) -> Written:
    """Export a checkpoint.

    Args:
        checkpoint: a folder (of a run, too), ``package:module/folder``, or a hub id.
        to: the exporter, as recipes name parts: ``{"name": "openvino", "dtype": "int8"}``.
        out: the folder to write; beside the checkpoint when None, see :func:`place_of`.
        task: on whose examples answers and quality are compared.
        split: of the task.
        quiet: show no progress.

    Raises:
        PrunusError: the checkpoint or the data is missing or does not fit; or as
            :func:`prunus.export.export`.
    """
    exporter = build_part("export", to)
    folder = folder_of(checkpoint)
    if (folder / export.FILE).is_file():
        raise PrunusError(f"{folder} is an export already; export the checkpoint that it came from")
    model = open_model(folder)
    place = out or place_of(checkpoint, exporter)
    if task is None:
        source = Source(model, folder, checkpoint, made_up(model, folder), "made-up inputs")
        return written(source, exporter, place)
    chosen = build("task", task)
    prepared = prepare(chosen, model, processor_of(chosen, folder), seed=0)
    source = Source.of(model, folder, checkpoint, prepared, split)
    found = written(source, exporter, place)
    with Bars(quiet) as bars:
        before, after = (
            prepared.evaluate(one, split, progress=partial(bars.over, what=what))
            for what, one in (("torch", model), ("export", export.load(place)))
        )
    return measured(found, before, after, split)


@dataclass(frozen=True)
class Source:
    """A checkpoint to be exported.

    Attributes:
        model: opened.
        folder: where it lies.
        name: what it is called.
        batches: inputs on which answers are compared.
        told: what these are.
    """

    model: PreTrainedModel
    folder: Path
    name: str
    batches: list[dict[str, Tensor]]
    told: str

    @classmethod
    def of(
        cls, model: PreTrainedModel, folder: Path, name: str, prepared: Prepared[Any], split: str
    ) -> "Source":
        """One whose answers to some examples of a task's split are compared."""
        batches = _examples(prepared, split)
        return cls(model, folder, name, batches, f"examples of {split!r}")


def written(source: Source, exporter: export.Exporter, place: Path) -> Written:
    """Export a checkpoint with the files that lie beside its weights.

    Raises:
        PrunusError: as :func:`prunus.export.export`.
    """
    beside = source.folder.resolve().parent == place.resolve().parent
    name = f"../{source.folder.name}" if beside else source.name
    with hushed():
        facts = export.export(
            source.model, place, exporter, source.batches, [Beside(source.folder, LEFT_OUT)],
            name, source.told,
        )  # fmt: skip
    return Written(place, facts)


def measured(found: Written, before: Quality, after: Quality, split: str) -> Written:
    """The same with the quality of torch and of the export on a split, written down."""
    change = difference(after, before)
    quality = {
        "metric": before.metric,
        "split": split,
        "n": before.n,
        "torch": before.value,
        "export": after.value,
        "change": change.value,
        "margin": change.margin,
    }
    facts = found.facts.model_copy(update={"quality": quality})
    facts.save(found.folder)
    return Written(found.folder, facts, (before, after))


def place_of(checkpoint: str, exporter: export.Exporter) -> Path:
    """Where an export lies that is not told: a run's in the run, others beside the checkpoint.

    Of a checkpoint that is no folder, in the folder where one is.
    """
    name = name_of(exporter)
    folder = Path(checkpoint).expanduser()
    if (folder / REPORT).is_file():
        return folder / name
    if folder.name == "model" and (folder.parent / REPORT).is_file():
        return folder.parent / name
    beside = folder if folder.exists() else Path(folder.name.rpartition(":")[2])
    return beside.with_name(f"{beside.name}-{name}")


def name_of(exporter: export.Exporter) -> str:
    """What the folder of an export in a run is called: ``openvino``, ``onnx-int8``."""
    name = type(exporter).__name__.lower()
    return name if exporter.dtype == "float32" else f"{name}-{exporter.dtype}"


def made_up(model: PreTrainedModel, folder: Path) -> list[dict[str, Tensor]]:
    """Inputs for a model: texts of its tokenizer's own words, or random tokens and pixels.

    Returns:
        Batches of several sizes and lengths, some rows padded.
    """
    lengths = [min(length, (positions(model) or 64) // 2) for length in LENGTHS]
    batches = [_rows(model, lengths[1], 3), _rows(model, lengths[2], 2)]
    try:
        tokenizer = open_tokenizer(transformer_of(folder)) if "input_ids" in batches[0] else None
    except (PrunusError, OSError, ValueError):
        tokenizer = None
    if tokenizer is None or batches[0]["input_ids"].dim() > 2:
        return batches
    texts = list(_texts(tokenizer, lengths))
    return [_read(tokenizer, texts, batches[0]), _read(tokenizer, texts[1:], batches[1])]


def _rows(model: PreTrainedModel, length: int, rows: int) -> dict[str, Tensor]:
    """Random rows, masks of which let everything through; of choices there are two."""
    batch = random_sample(model, length, rows)
    if "input_ids" in batch:
        if batch["input_ids"].dim() > 2:
            batch["input_ids"] = torch.cat([batch["input_ids"], batch["input_ids"].flip(0)], 1)
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    return batch


def _texts(tokenizer: PreTrainedTokenizerBase, lengths: list[int]) -> Iterator[str]:
    draw = torch.Generator().manual_seed(0)
    special = {*tokenizer.all_special_ids}
    words = [index for index in tokenizer.get_vocab().values() if index not in special]
    for length in lengths:
        drawn = torch.randint(len(words), (length,), generator=draw).tolist()
        yield str(tokenizer.decode([words[place] for place in drawn]))


def _read(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], like: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Texts as a tokenizer gives them, beside what else a model takes."""
    read: Any = tokenizer(
        texts,
        padding=True,
        truncation=True,
        max_length=like["input_ids"].shape[1] * 2,
        return_tensors="pt",
    )
    others = {name: own for name, own in like.items() if name not in ("input_ids", *read)}
    return {
        **read,
        **{name: own[:1].repeat_interleave(len(texts), 0) for name, own in others.items()},
    }


def _examples(prepared: Prepared[Any], split: str) -> list[dict[str, Tensor]]:
    """Some examples of a task, without their labels."""
    batches = prepared.batches(split, ROWS, ROWS * BATCHES)
    return [prepared.inputs(batch) for batch in batches]
