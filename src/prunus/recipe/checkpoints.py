"""Questions to checkpoints on the disk: how good, how fast, what stays."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prunus.anatomy import Anatomy, anatomy
from prunus.checkpoint import dense_form, load
from prunus.measure.size import bytes, parameters
from prunus.measure.table import Table
from prunus.measure.table import table as table_at
from prunus.measure.target import positions, require_positions
from prunus.plan import Plan
from prunus.probe.work import flops
from prunus.recipe._bars import Bars
from prunus.recipe._measured import latencies
from prunus.recipe._model import Settings
from prunus.recipe._open import REPORT, folder_of, open_any, open_model, prepare, processor_of
from prunus.recipe._parts import build
from prunus.recipe._settings import Latency
from prunus.recipe._zeros import zeros
from prunus.recipe.rewrite import opener
from prunus.report import _schema as schema
from prunus.report import _units as show
from prunus.report import read, tables, zeroed
from prunus.report._zeros import work
from prunus.select._budget import At
from prunus.task import Quality
from prunus.task._network import hushed

Kept = dict[str, tuple[int, int]]
COARSE = ("sublayers", "layers")
LENGTH = 128
"""Tokens of the text on which the work of a checkpoint is counted, where it can read so many."""


def evaluate(
    checkpoint: str, task: Settings, split: str, batch_size: int, quiet: bool = False
) -> Quality:
    """The quality of a checkpoint on a task.

    Raises:
        PrunusError: the checkpoint or the data is missing, or they do not fit.
    """
    chosen, folder = build("task", task), folder_of(checkpoint)
    model = open_any(folder)
    prepared = prepare(chosen, model, processor_of(chosen, folder), seed=0)
    with Bars(quiet) as bars:
        return prepared.evaluate(model, split, batch_size, partial(bars.over, what="evaluate"))


@dataclass(frozen=True)
class Bench:
    """Two checkpoints side by side; FLOPs are those of one sample."""

    params: schema.Pair
    flops: schema.Pair
    latency: schema.Latency


def bench(dense: str, pruned: str, settings: Latency, length: int, quiet: bool = False) -> Bench:
    """Time two checkpoints in turns on random inputs.

    Args:
        dense: the checkpoint before.
        pruned: the checkpoint after.
        settings: one batch size, threads, pairs.
        length: tokens of a sample, where the models read text.
        quiet: show no progress.

    Raises:
        PrunusError: a checkpoint is missing, or has no positions for so many tokens.
    """
    models = open_model(folder_of(dense)), open_model(folder_of(pruned))
    sample = _random(models[0], length)
    work = [flops(model, sample) for model in models]
    sizes = [parameters(model) for model in models]
    with Bars(quiet) as bars:
        taken = next(
            latencies(models, sample, settings, length if "input_ids" in sample else None, bars)
        )
    return Bench(
        schema.Pair(dense=sizes[0], pruned=sizes[1]),
        schema.Pair(dense=work[0], pruned=work[1]),
        taken,
    )


def table_of(checkpoint: str, batch: int, length: int, threads: int, quiet: bool = False) -> Table:
    """What the widths of a checkpoint's sublayers cost in time, on random inputs.

    Args:
        checkpoint: dense or pruned.
        batch: samples in a call.
        length: tokens of a sample, where the model reads text.
        threads: how many threads torch computes with.
        quiet: show no progress.

    Raises:
        PrunusError: the checkpoint is missing, or has no positions for so many tokens.
    """
    model = open_model(folder_of(checkpoint))
    at = At(batch=batch, length=length, threads=threads)
    with Bars(quiet) as bars:
        return table_at(model, _random(model, length), at, partial(bars.step, "time sublayers"))


def _random(model: PreTrainedModel, length: int) -> dict[str, Tensor]:
    """One random sample for any model that reads text or images."""
    takes = inspect.signature(model.forward).parameters
    draw = torch.Generator().manual_seed(0)
    found = {}
    if "input_ids" in takes:
        require_positions(model, length)
        ids = _text(model.config, length, draw)
        if type(model).__name__.endswith("ForMultipleChoice"):
            ids = ids[:, None]
        found = {name: ids for name in ("input_ids", "decoder_input_ids") if name in takes}
    if "pixel_values" in takes:
        config: Any = getattr(model.config, "vision_config", model.config)
        side = config.image_size
        shape = (1, config.num_channels, side, side)
        found["pixel_values"] = torch.randn(shape, generator=draw)
    return found


def _text(config: Any, length: int, draw: torch.Generator) -> Tensor:
    config = getattr(config, "text_config", config)
    ids = torch.randint(2, config.vocab_size, (1, length), generator=draw)
    end = config.eos_token_id
    if isinstance(end, int):  # some heads read at the end of the text, which must be there once
        ids = ids.masked_fill(ids == end, 2 if end != 2 else 3)
        ids[:, -1] = end
    return ids


def look(what: str) -> tuple[list[Any], Kept]:
    """What to print of a checkpoint, a run or a plan, and {site: (units that stay, of)}.

    Raises:
        PrunusError: it is none of these.
    """
    path = Path(what).expanduser()
    if path.is_file():
        plan = Plan.load(path)
        made = f", made for {plan.model}" if plan.model else ""
        return [f"plan of {len(plan)} sites{made}, {plan.fingerprint()[:12]}"], plan.kept()
    if (path / REPORT).is_file():
        report = read(path)
        return list(tables(report)), report.kept
    return _checkpoint(folder_of(what))


def _checkpoint(folder: Path) -> tuple[list[Any], Kept]:
    with hushed():
        model = load(folder)
    cut = getattr(model.config, "prunus", {}).get("kept")
    lines = [
        f"{type(model).__name__}, {str(model.dtype).removeprefix('torch.')}",
        f"opened by:  {opener(folder)}",
        f"parameters: {parameters(model):,}",
        f"weights:    {bytes(folder):,} bytes",
    ]
    whole = dense_form(model, "cpu") if cut else model
    lines += _worked(whole, model)
    here = anatomy(model)
    if not cut:
        return lines, {name: (site.units, site.units) for name, site in _fine(here).items()}
    units = {_dense_name(name, cut): site.units for name, site in here.items()}
    dense = _fine(anatomy(whole))
    return lines, {name: (units.get(name, 0), site.units) for name, site in dense.items()}


def _worked(dense: PreTrainedModel, model: PreTrainedModel) -> Iterator[Any]:
    """What fraction of the work is gone, and what is only zeros; a table of the layers with such.

    The work is counted on random inputs, which not every network runs on.
    """
    length = min(LENGTH, (positions(model) or 2 * LENGTH) // 2)  # some number tokens from 2 on
    try:
        sample = _random(model, length)
        pair = schema.Pair(dense=flops(dense, sample), pruned=flops(model, sample))
        found = zeros(dense, model, sample)
    except Exception as error:  # whatever a network says that wants other inputs
        yield f"work:       not counted: it does not run on random inputs ({error})"
        return
    at = f"at {length} tokens" if "input_ids" in sample else "for an image"
    told = f"work:       {show.scaled(pair.pruned, 'FLOPs')} {at}"
    share = None if found is None else found.work
    said = work(None if dense is model else pair, share)
    yield f"{told}: {said}" if said else told
    if found is not None:
        yield zeroed(found)


def _fine(sites: Anatomy) -> Anatomy:
    return sites.of(*{site.kind for site in sites.values() if site.kind not in COARSE})


def _dense_name(site: str, kept: Mapping[str, Any]) -> str:
    """A site's name before whole layers were removed from its stack."""
    for name, stays in kept.items():
        stack, _, kind = name.rpartition(":")
        match = re.fullmatch(rf"{re.escape(stack)}\.(\d+)(\D.*)", site)
        if kind == "layers" and match:
            return f"{stack}.{stays[int(match[1])]}{match[2]}"
    return site
