"""Adapter-only checkpoints: what differs from a dense model that is cut by a plan."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from prunus import headers
from prunus.adapt import ADAPTER, adapted, factors
from prunus.anatomy._tensors import Tensors
from prunus.checkpoint._files import require_ours, seal, verify
from prunus.checkpoint._start import Start
from prunus.checkpoint._whole import align
from prunus.digest import digest
from prunus.errors import PrunusError
from prunus.files import folder_beside
from prunus.foreign import opening
from prunus.formats import Format
from prunus.plan import Plan
from prunus.site import Site

FORMAT = Format("folder of adapters", 2, {1: lambda said: {**said, "grids": {}}})
RECORD, TENSORS = "adapters.json", "adapters.safetensors"
PLACES = f".{ADAPTER}.places"
"""Where the blocks of an adapter lie, which is saved as bits."""
NONE: Mapping[str, Any] = {}


def save_adapters(
    model: PreTrainedModel,
    folder: str | Path,
    base: PreTrainedModel,
    plan: Plan,
    sites: Mapping[str, Site] = NONE,
    values: Mapping[str, Tensor] = NONE,
) -> None:
    """Write what a pruned and adapted model has more than its dense base.

    The folder holds ``adapters.safetensors``: every tensor that is not the base's, cut by the plan
    (adapters, biases, norms with their statistics, the head); ``plan.safetensors``: the plan, a
    bit for each unit; ``blocks.safetensors``: which blocks adapters have, where they lost some;
    ``values.safetensors``: the values; ``adapters.json``: how each adapter was made, the grids, the
    base's name, and a hash of its weights.

    Args:
        model: some of its layers have adapters.
        folder: adapters that are there already are replaced.
        base: the dense model.
        plan: what of the base is in the model.
        sites: an anatomy with the grids that the plan names, if it names some.
        values: {grid: [*grid]} what masks of the base's weights ended as, where that is not 0 or 1.

    Raises:
        PrunusError: ``folder`` holds something else, the model has no adapter, is not of the base's
            shapes once that is cut by the plan, or adapters fill weights that the plan removes.
    """
    folder = Path(folder)
    require_ours(folder, RECORD, "holds no adapters")
    if not adapted(model):
        raise PrunusError(f"{type(model).__name__} has no adapter to save; use prunus.save")
    start = Start.of(model, base, plan, sites, values)
    tensors = _more(model, start.on(base))
    name = getattr(base.config, "_name_or_path", "")
    with folder_beside(folder) as fresh:
        save_file(tensors, fresh / TENSORS)
        record = {
            "format": FORMAT.version,
            "base": name,
            "sha256": fingerprint(base),
            **start.save(fresh),
        }
        (fresh / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        seal(fresh)


def load_adapters(base: PreTrainedModel, folder: str | Path) -> PreTrainedModel:
    """The model that was saved, bit for bit, built on its dense base.

    Args:
        base: the dense model; it is left as it is.
        folder: written by :func:`save_adapters`.

    Raises:
        PrunusError: the folder is damaged or holds no adapters, or the base is another one.
    """
    folder = Path(folder)
    record = _read(folder)
    verify(folder)
    if fingerprint(base) != record["sha256"]:
        raise PrunusError(
            f"{folder} was trained on other weights: those of {record['base'] or 'its base'!r},"
            f" which this {type(base).__name__} does not hold"
        )
    with opening(folder):
        model = Start.load(folder, record).on(base)
        model.load_state_dict(headers.read(folder / TENSORS), strict=False)
    align(model)
    return model


def fingerprint(model: nn.Module) -> str:
    """Hex SHA-256 of a model's tensors, with their names, types and shapes."""
    return digest(_tensors(model))


def _more(model: nn.Module, start: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model that another one of its shapes has not; those of adapters are all."""
    here, there = _tensors(model), _tensors(start)
    for name in sorted(here.keys() | there.keys()):
        if name not in here or name not in there or here[name].shape != there[name].shape:
            raise PrunusError(
                f"{name} is not of the shape that it has in the base once that is cut by the plan:"
                " give the dense model, and the plan in its units"
            )
    added = factors(model)
    more = [n for n, own in here.items() if n in added or not _same(own, there[n])]
    return {name: here[name].cpu().contiguous() for name in more}


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other.to(one.device))


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """What a model saves; tied tensors once."""
    owners = {name for name in Tensors.of(model).shapes if not name.endswith(PLACES)}
    return {name: own for name, own in model.state_dict().items() if name in owners}


def _read(folder: Path) -> dict[str, Any]:
    try:
        record = FORMAT.read(folder / RECORD)
        return record | {key: record[key] for key in ("base", "sha256", "adapters")}
    except (ValueError, KeyError) as error:
        raise PrunusError(f"{folder} holds no adapters: {RECORD}: {error}") from None
