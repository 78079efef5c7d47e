"""Questions to checkpoints on the disk: how good, how fast, what stays."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from os.path import expanduser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from prunus import ranks
from prunus.anatomy import Anatomy, anatomy
from prunus.checkpoint import dense_form, load
from prunus.errors import PrunusError
from prunus.export import FILE
from prunus.measure.size import bytes, parameters
from prunus.measure.target import positions
from prunus.plan import Plan
from prunus.probe.work import flops
from prunus.recipe._bars import Bars
from prunus.recipe._model import Settings
from prunus.recipe._open import (
    REPORT,
    folder_of,
    open_any,
    prepare,
    processor_of,
    require_checkpoint,
)
from prunus.recipe._parts import build
from prunus.recipe._runtimes import opener as running
from prunus.recipe._runtimes import require
from prunus.recipe._sample import random_sample
from prunus.recipe._settings import EAGER
from prunus.recipe._zeros import zeros
from prunus.recipe.rewrite import opener
from prunus.report import _schema as schema
from prunus.report import _units as show
from prunus.report import read, tables, zeroed
from prunus.report._zeros import work
from prunus.task import Prepared, Quality
from prunus.task._network import hushed

Kept = dict[str, tuple[int, int]]
AS_IT_IS = (EAGER, "float32")
COARSE = ("sublayers", "layers")
LENGTH = 128
"""Tokens of the text on which the work of a checkpoint is counted, where it can read so many."""


def evaluate(
    checkpoint: str,
    task: Settings,
    split: str,
    batch_size: int,
    runtime: tuple[str, str] = AS_IT_IS,
    quiet: bool = False,
) -> Quality:
    """The quality of a checkpoint on a task.

    Args:
        checkpoint: dense or pruned, or an export, which has its runtime.
        task: as recipes name parts.
        split: of the task.
        batch_size: examples in a batch.
        runtime: what runs it, and in which dtype, see :func:`prunus.recipe._runtimes.opener`.
        quiet: show no progress.

    Raises:
        PrunusError: the checkpoint or the data is missing, or they do not fit; the runtime is
            unknown or cannot run the model.
    """
    chosen, folder = build("task", task), folder_of(checkpoint)
    if runtime != AS_IT_IS:
        require(*runtime)
        if (folder / FILE).is_file():
            raise PrunusError(
                "an export has its runtime and dtype: leave out --runtime and --dtype"
            )
    model: Any = open_any(folder)
    prepared = prepare(chosen, model, processor_of(chosen, folder), seed=0)
    with ranks.together("cpu"), Bars(quiet) as bars, TemporaryDirectory() as place:
        if runtime != AS_IT_IS:
            model = _run_by(runtime, model, prepared, split, Path(place) / "export")
        return prepared.evaluate(model, split, batch_size, partial(bars.over, what="evaluate"))


def _run_by(
    runtime: tuple[str, str], model: Any, prepared: Prepared[Any], split: str, folder: Path
) -> nn.Module:
    inputs = prepared.inputs(prepared.batches(split, 2, 2)[0])
    return running(*runtime, model, inputs, folder)(torch.get_num_threads())


def look(what: str) -> tuple[list[Any], Kept]:
    """What to print of a checkpoint, a run or a plan, and {site: (units that stay, of)}.

    Raises:
        PrunusError: it is none of these.
    """
    path = Path(expanduser(what))
    if path.is_file():
        plan = Plan.load(path)
        made = f", made for {plan.model}" if plan.model else ""
        return [f"plan of {len(plan)} sites{made}, {plan.fingerprint()[:12]}"], plan.kept()
    if (path / REPORT).is_file():
        report = read(path)
        return list(tables(report)), report.kept
    return _checkpoint(folder_of(what))


def _checkpoint(folder: Path) -> tuple[list[Any], Kept]:
    require_checkpoint(folder)
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
        sample = random_sample(model, length)
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
