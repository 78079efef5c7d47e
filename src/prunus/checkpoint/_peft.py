"""Adapters in the format of the package ``peft``, for whoever loads them with it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from prunus.adapt import ADAPTER, Adapted, adapted, learns
from prunus.adapt._adapter import LowRank
from prunus.errors import PrunusError
from prunus.files import folder_beside

PREFIX = "base_model.model."
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def export_peft(model: nn.Module, folder: str | Path, base: str = "") -> None:
    """Write a model's adapters as a LoRA checkpoint (alpha = rank) that ``peft`` opens.

    ``PeftModel.from_pretrained(pruned, folder)`` then answers as the model does, where ``pruned``
    is the pruned model as it was before it had adapters. Biases, norms with their statistics and
    the head are in the checkpoint.

    Args:
        model: with adapters of two factors.
        folder: to be written; an export that is there already is replaced.
        base: the name of the pruned model, for the checkpoint's configuration.

    Raises:
        PrunusError: an adapter has no form there, ``folder`` holds something else, or the model has
            no adapter.
    """
    folder, layers = Path(folder), adapted(model)
    if folder.exists() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise PrunusError(f"{folder} exists and is no checkpoint of peft; name another folder")
    tensors = _others(model, layers)
    for name, layer in layers.items():
        tensors |= _factors(name, layer)
    with folder_beside(folder) as fresh:
        text = json.dumps(_config(layers, base), indent=2)
        (fresh / CONFIG).write_text(text, encoding="utf-8")
        save_file({name: own.cpu().contiguous() for name, own in tensors.items()}, fresh / WEIGHTS)


def _config(layers: dict[str, Adapted], base: str) -> dict[str, Any]:
    ranks = {name: layer.adapter.get_parameter("cols").shape[1] for name, layer in layers.items()}
    usual = Counter(ranks.values()).most_common(1)[0][0]
    odd = {name: rank for name, rank in ranks.items() if rank != usual}
    return {
        "peft_type": "LORA", "task_type": None, "base_model_name_or_path": base,
        "r": usual, "lora_alpha": usual, "rank_pattern": odd, "alpha_pattern": odd,
        "target_modules": list(layers), "bias": "all", "lora_dropout": 0.0,
        "fan_in_fan_out": all(layer.outputs for layer in layers.values()),
        "inference_mode": True,
    }  # fmt: skip


def _factors(name: str, layer: Adapted) -> dict[str, Tensor]:
    """A [rank, inputs, *kernel] and B [outputs, rank, 1, ...] of a layer."""
    fault = _fault(layer)
    if fault:
        raise PrunusError(f"{name}: peft's LoRA cannot say {fault}; merge the adapters instead")
    own = layer.adapter
    rows, cols = own.get_parameter("rows").detach(), own.get_parameter("cols").detach()
    kernel = layer.get_parameter(layer.holds).shape[2:]
    if rows.dim() < 2 + len(kernel):
        edges = [half for size in reversed(kernel) for half in [size // 2] * 2]
        rows = functional.pad(rows[(...,) + (None,) * len(kernel)], edges)
    cols = cols[(...,) + (None,) * len(kernel)]
    return {f"{PREFIX}{name}.lora_A.weight": rows, f"{PREFIX}{name}.lora_B.weight": cols}


def _fault(layer: Any) -> str:
    """What of an adapted layer has no form in peft, or ""."""
    if not isinstance(layer.adapter, LowRank):
        return "a delta of full rank" if layer.adapter.rides else "a delta made of blocks"
    if isinstance(layer, nn.MultiheadAttention):
        return "adapters of torch's own attention"
    if layer.groups > 1:
        return "adapters of grouped convolutions"
    if any(step > 1 for step in getattr(layer, "dilation", ())):
        return "adapters of dilated convolutions"
    if getattr(layer, "padding_mode", "zeros") != "zeros":
        return f"adapters under padding of the mode {layer.padding_mode}"
    return ""


def _others(model: nn.Module, layers: dict[str, Adapted]) -> dict[str, Tensor]:
    """What was trained beside the adapters, by the names that peft knows it by."""
    state, found = model.state_dict(), {}
    buffers = {name for name, _ in model.named_buffers()} & state.keys()
    for name in [*learns(model), *sorted(buffers)]:
        path, _, leaf = name.rpartition(".")
        if path.rpartition(".")[2] != ADAPTER:
            inside = ".base_layer" if path in layers else ""
            found[f"{PREFIX}{path}{inside}.{leaf}"] = state[name]
    return found
