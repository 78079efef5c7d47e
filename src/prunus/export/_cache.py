"""Keys and values of past tokens as named tensors: so they pass into graphs and out of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

PAST, PRESENT, CROSS = "past_key_values", "present", "cross_key_values"
PARTS = ("key", "value")


class Layer(DynamicLayer):
    """A layer whose first keys are not joined to an empty tensor, which not every runtime can."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Take keys and values ``[row, head, token, width]`` in, and give all there are."""
        if self.is_initialized:
            return super().update(key_states, value_states, *args, **kwargs)
        self.lazy_initialization(key_states, value_states)
        self.keys, self.values = key_states, value_states
        return key_states, value_states


def empty() -> DynamicCache:
    """A cache without tokens."""
    cache = DynamicCache()
    cache.layer_class_to_replicate = Layer
    return cache


def flat(cache: Cache, prefix: str) -> dict[str, Tensor]:
    """What a cache holds, ``prefix.LAYER.key`` and ``.value`` ``[row, head, token, width]``."""
    layers: list[Any] = cache.layers
    return {
        f"{prefix}.{index}.{part}": own
        for index, layer in enumerate(layers)
        if layer.is_initialized
        for part, own in zip(PARTS, (layer.keys, layer.values), strict=True)
    }


def filled(tensors: Mapping[str, Tensor], prefix: str) -> DynamicCache:
    """The cache of which :func:`flat` tells; every layer sees all tokens, masks do the rest."""
    cache = empty()
    for index, keys in _layers(tensors, prefix):
        while len(cache.layers) <= index:
            cache.layers.append(Layer())
        layer: Any = cache.layers[index]
        layer.update(keys, tensors[f"{prefix}.{index}.value"])
    return cache


def _layers(tensors: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[int, Tensor]]:
    for name, own in tensors.items():
        if name.startswith(f"{prefix}.") and name.endswith(".key"):
            yield int(name.split(".")[1]), own
