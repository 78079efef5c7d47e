"""How large a model is, in parameters and in bytes of weights."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor, nn

from prunus.errors import PrunusError

RENAMED = 48
"""By how many letters at most a tensor's name grows when transformers saves it."""


def parameters(model: nn.Module) -> int:
    """How many parameters the model has, tied ones counted once."""
    return sum(tensor.numel() for tensor in _distinct(model.parameters()))


def bytes(source: nn.Module | Path | str) -> int:
    """How many bytes the weights take.

    Args:
        source: a model (its parameters and saved buffers, tied ones counted once, quantized
            weights without their scales) or a checkpoint folder (its ``*.safetensors`` files as
            they lie on the disk).

    Raises:
        PrunusError: the folder holds no safetensors file.
    """
    if isinstance(source, nn.Module):
        values = source.state_dict(keep_vars=True).values()
        tensors = (tensor for value in values for tensor in _tensors(value))
        return sum(tensor.numel() * tensor.element_size() for tensor in _distinct(tensors))
    files = list(Path(source).glob("*.safetensors"))
    if not files:
        raise PrunusError(f"{source}: no *.safetensors file there; give the folder of a checkpoint")
    return sum(file.stat().st_size for file in files)


def around(model: nn.Module) -> int:
    """How many bytes of a model's safetensors file are no parameters, at most.

    These are saved buffers, eight bytes of length, and JSON that names every tensor, filled up to a
    multiple of eight (the format's README). A pruned model has no more tensors, and none larger;
    transformers may save one under a name that is up to :data:`RENAMED` letters longer.
    """
    end, state = bytes(model), model.state_dict()
    told = {
        name + RENAMED * "_": {
            "dtype": "BF16",
            "shape": list(tensor.shape),
            "data_offsets": [end, end],
        }
        for name, tensor in state.items()
    }
    text = json.dumps({"__metadata__": {"format": "pt"}, **told}, separators=(",", ":"))
    named = dict(model.named_parameters(remove_duplicate=False))
    buffers = [tensor for name, tensor in state.items() if name not in named]
    held = sum(tensor.numel() * tensor.element_size() for tensor in buffers)
    return held + 8 + -(-len(text.encode()) // 8) * 8


def _tensors(value: object) -> Iterator[Tensor]:
    """The tensors in an entry of a state: quantized layers keep weight and bias as a pair."""
    for part in value if isinstance(value, tuple) else (value,):
        if isinstance(part, Tensor):
            yield part


def _distinct(tensors: Iterable[Tensor]) -> list[Tensor]:
    """The tensors with those left out that look at the very same memory as an earlier one."""
    return list({_place(tensor): tensor for tensor in tensors}.values())


def _place(tensor: Tensor) -> tuple[object, ...]:
    memory = tensor.untyped_storage().data_ptr() or id(tensor)
    return memory, tensor.storage_offset(), tuple(tensor.shape)
