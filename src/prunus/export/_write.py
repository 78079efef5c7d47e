"""Exporting: traced, written, opened again, compared with torch, and only then in its place."""

import copy
import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from prunus.adapt import adapted
from prunus.auto import PREFIX
from prunus.errors import PrunusError
from prunus.export._exporter import Exporter
from prunus.export._facts import FILE, Facts, Stored
from prunus.export._graph import Graph, Tensors
from prunus.export._graphs import graphs_of
from prunus.export._open import load
from prunus.export._trace import trace
from prunus.export._verify import BOUND, far, says_the_same
from prunus.files import folder_beside, write_bytes
from prunus.registry import spelt


def export(
    model: PreTrainedModel,
    folder: str | Path,
    to: Exporter,
    batches: Sequence[Tensors],
    processors: Iterable[Any] = (),
    checkpoint: str | None = None,
    inputs: str = "examples",
) -> Facts:
    """Write a model as graphs that another runtime runs.

    Args:
        model: dense or pruned, in float32 on the processor.
        folder: what is written; an export that lies there is replaced.
        to: the exporter: ``prunus.registry.build("export", "openvino")``.
        batches: what the model reads, without labels, ``[row, ...]``: names and dtypes of the
            inputs are taken from the first one, and the answers to all of them are compared.
        processors: tokenizers or processors, saved beside.
        checkpoint: where the model came from, recorded.
        inputs: what the batches are, recorded.

    Raises:
        PrunusError: the model cannot be traced or has adapters; the exporter's packages are
            missing; its answers in float32 are not torch's; or ``folder`` holds anything else.
            Nothing is written then.
    """
    folder, own = Path(folder), to.traces
    _require(model, folder, batches)
    was = model.training
    model.eval()
    try:
        with folder_beside(folder) as fresh:
            _beside(model, fresh, processors)
            cast: Any = model if own == model.dtype else nn.Module.to(copy.deepcopy(model), own)
            made = graphs_of(cast, batches[0])
            stored = {graph.name: _store(to, graph, fresh) for graph in made.parts}
            facts = Facts(
                to=spelt(to)["name"],
                dtype=to.dtype,
                architecture=type(model).__name__,
                checkpoint=checkpoint,
                graphs=stored,
                generates=made.generates,
                positions=made.positions,
                difference=0.0,
                samples=0,
                inputs=inputs,
                versions=_versions(to.packages),
            )
            facts.save(fresh)
            facts = _verified(model, facts, fresh, batches)
            facts.save(fresh)
            return facts
    finally:
        model.train(was)


def _require(model: PreTrainedModel, folder: Path, batches: Sequence[Tensors]) -> None:
    if adapted(model):
        raise PrunusError(
            f"{next(iter(adapted(model)))} has an adapter: merge it first (prunus.adapt.merge)"
        )
    if not batches:
        raise PrunusError("export: no batches to trace the model with and to compare its answers")
    if model.dtype != torch.float32:
        raise PrunusError(
            f"export: the model is in {model.dtype}; give it in float32, and the dtype that shall"
            " be written to the exporter"
        )
    if folder.exists() and any(folder.iterdir()) and not (folder / FILE).is_file():
        raise PrunusError(f"{folder} exists and is no export; name another folder")


def _beside(model: PreTrainedModel, fresh: Path, processors: Iterable[Any]) -> None:
    config: Any = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    vars(config).pop("auto_map", None)
    config.save_pretrained(fresh)
    _stock(fresh / "config.json")
    if model.can_generate():
        model.generation_config.save_pretrained(fresh)
    for processor in processors:
        processor.save_pretrained(fresh)


def _stock(path: Path) -> None:
    """Let transformers alone read the configuration of a pruned model."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["model_type"] = config["model_type"].removeprefix(PREFIX)
    write_bytes(path, json.dumps(config, indent=2, sort_keys=True).encode() + b"\n")


def _store(to: Exporter, graph: Graph, fresh: Path) -> Stored:
    traced = trace(graph)
    return Stored(file=to.write(traced, fresh), inputs=traced.inputs, outputs=traced.outputs)


def _verified(
    model: PreTrainedModel, facts: Facts, fresh: Path, batches: Sequence[Tensors]
) -> Facts:
    made = load(fresh)
    worst, samples = far(model, made, batches)
    if facts.dtype == "float32" and not worst <= BOUND:
        raise PrunusError(
            f"the export's answers are {worst:.1e} of the largest away from torch's, more than"
            f" {BOUND:.0e}: nothing is written; try another exporter"
        )
    if facts.dtype == "float32" and facts.generates and not says_the_same(model, made, batches[0]):
        raise PrunusError(
            "the export generates other tokens than torch: nothing is written; try another exporter"
        )
    return facts.model_copy(update={"difference": worst, "samples": samples})


def _versions(packages: Iterable[str]) -> dict[str, str]:
    return {name: version(name) for name in ("prunus", "transformers", *packages)}
