"""Adapter-only checkpoints: what differs from a dense model that is cut by a plan."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from prunus.adapt import ADAPTER, adapted, attach
from prunus.anatomy._tensors import Tensors
from prunus.checkpoint._classes import adopt
from prunus.checkpoint._files import require_ours, seal, verify
from prunus.checkpoint._whole import align
from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.files import folder_beside
from prunus.plan import Plan

FORMAT = 1
RECORD, TENSORS, MASKS = "adapters.json", "adapters.safetensors", "plan.safetensors"


def save_adapters(
    model: PreTrainedModel, folder: str | Path, base: PreTrainedModel, plan: Plan
) -> None:
    """Write what a pruned and adapted model has more than its dense base.

    The folder holds ``adapters.safetensors``: every tensor that is not the base's, cut by the plan
    (adapters, biases, norms with their statistics, the head); ``plan.safetensors``: the plan;
    ``adapters.json``: how each adapter was made, the base's name, and a hash of its weights.

    Args:
        model: some of its layers have adapters.
        folder: adapters that are there already are replaced.
        base: the dense model.
        plan: what of the base is in the model.

    Raises:
        PrunusError: ``folder`` holds something else, the model has no adapter, or is not of the
            base's shapes once that is cut by the plan.
    """
    folder = Path(folder)
    require_ours(folder, RECORD, "holds no adapters")
    made = {name: layer.adapter.made for name, layer in adapted(model).items()}
    if not made:
        raise PrunusError(f"{type(model).__name__} has no adapter to save; use prunus.save")
    start = _with_adapters(base, plan, made)
    tensors = _more(model, start)
    record = {
        "format": FORMAT, "base": getattr(base.config, "_name_or_path", ""),
        "sha256": fingerprint(base), "adapters": made,
    }  # fmt: skip
    with folder_beside(folder) as fresh:
        save_file(tensors, fresh / TENSORS)
        plan.save(fresh / MASKS)
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
    model = _with_adapters(base, Plan.load(folder / MASKS), record["adapters"])
    try:
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise PrunusError(f"{folder / TENSORS}: not readable ({error})") from None
    model.load_state_dict(tensors, strict=False)
    align(model)
    return model


def fingerprint(model: nn.Module) -> str:
    """Hex SHA-256 of a model's tensors, with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_tensors(model).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _with_adapters(base: PreTrainedModel, plan: Plan, made: Mapping[str, Any]) -> PreTrainedModel:
    """The base, cut, with adapters as they begin; random numbers go on where they were."""
    model = adopt(shrink(base, plan))
    with torch.random.fork_rng():
        for settings, names in _alike(made).items():
            match = "|".join(map(re.escape, names))
            attach(model, {**json.loads(settings), "match": match, "head": True})
    return model


def _alike(made: Mapping[str, Any]) -> Mapping[str, list[str]]:
    """{settings, as JSON: the layers whose adapters were made by them}."""
    found = defaultdict[str, list[str]](list)
    for name, settings in made.items():
        found[json.dumps(settings, sort_keys=True)].append(name)
    return found


def _more(model: nn.Module, start: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model that another one of its shapes has not; those of adapters are all."""
    here, there = _tensors(model), _tensors(start)
    for name in sorted(here.keys() | there.keys()):
        if name not in here or name not in there or here[name].shape != there[name].shape:
            raise PrunusError(
                f"{name} is not of the shape that it has in the base once that is cut by the plan:"
                " give the dense model, and the plan in its units"
            )
    factors = {
        f"{name}.{ADAPTER}.{factor}"
        for name, layer in adapted(model).items()
        for factor, _ in layer.adapter.named_parameters()
    }
    more = [n for n, own in here.items() if n in factors or not _same(own, there[n])]
    return {name: here[name].cpu().contiguous() for name in more}


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other.to(one.device))


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """What a model saves; tied tensors once."""
    owners = set(Tensors.of(model).shapes)
    return {name: own for name, own in model.state_dict().items() if name in owners}


def _read(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        known = record["format"]
        wanted = {key: record[key] for key in ("base", "sha256", "adapters")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PrunusError(f"{folder} holds no adapters: {RECORD}: {error}") from None
    if known != FORMAT:
        raise PrunusError(f"{folder}: format {known}; this prunus reads {FORMAT}: install a newer")
    return wanted
