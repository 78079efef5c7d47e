"""From a dense model to the sizes of a pruned one, told module by module: no family is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from prunus.checkpoint._files import SEAL
from prunus.checkpoint._whole import Whole


class Resized(Whole):
    """Mixin before a stock model class: builds the dense model, then cuts it to its sizes."""

    LAYERS: ClassVar[Mapping[str, Sequence[int]]] = {}
    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        """Build the stock model, dense, and resize it."""
        super().__init__(*args, **kwargs)
        resize(self, self.LAYERS, self.SIZES)

    def save_pretrained(self, folder: Any, *args: Any, **kwargs: Any) -> None:
        """As in transformers; the seal of other weights, if there was one, goes."""
        super().save_pretrained(folder, *args, **kwargs)
        (Path(folder) / SEAL).unlink(missing_ok=True)


def resize(
    model: Any, layers: Mapping[str, Sequence[int]], sizes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Cut a dense model, in place; modules that its class lacks are passed over.

    Args:
        model: a model as the configuration builds it.
        layers: {list of layers: those that stay}.
        sizes: {module, once layers are gone: {attribute: value, or tensor: sizes to cut it to}};
            None leaves an axis as it is.
    """
    for path, kept in layers.items():
        stack: Any = find(model, path)
        for index in reversed(range(len(stack or ()))):
            if index not in kept:
                del stack[index]
    fresh: dict[Tensor, Tensor] = {}
    for path, changes in sizes.items():
        module = find(model, path)
        for name, value in changes.items() if module is not None else ():
            old = getattr(module, name, None)
            if isinstance(old, Tensor):
                value = fresh.setdefault(old, leading(old, value))  # tied weights stay tied
            setattr(module, name, value)


def find(model: Any, path: str) -> nn.Module | None:
    """A module by its name in a model with a task head, also where the model is only the base."""
    for name in (path, path.removeprefix(f"{model.base_model_prefix}.")):
        try:
            return model.get_submodule(name)
        except AttributeError:
            continue
    return None


def leading(tensor: Tensor, shape: Sequence[int | None]) -> Tensor:
    """The first entries of every axis, as many as ``shape`` says."""
    data = tensor.detach()[tuple(slice(size) for size in shape)].clone()
    return nn.Parameter(data, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else data
