"""How large a model is, in parameters and in bytes of weights."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor, nn

from prunus.errors import PrunusError


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
