"""Hashes of what modules are tuned for and on: the dense model and the data."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from prunus.anatomy._tensors import Tensors
from prunus.digest import digest
from prunus.library._key import sha256

SAVED = {"architectures", "dtype", "torch_dtype", "transformers_version"}
"""Keys of a configuration that say how it was saved, or what the tensors themselves say."""
CALLED = {
    "output_attentions",
    "output_hidden_states",
    "problem_type",  # models note it when they first see labels
    "return_dict",
    "use_cache",
}
"""Keys of a configuration that say what calls return, and not what is computed."""


def weights_hash(model: nn.Module) -> str:
    """Hex SHA-256 of what a model computes: its class, configuration, parameters and buffers.

    Of a network without a configuration, what it prints counts in its place.

    Neither the order of the parameters nor which of tied names comes first matters, nor where the
    model was opened from or with which version.
    """
    least: dict[str, str] = {}
    for name, owner in sorted(Tensors.of(model).aliases.items()):
        least.setdefault(owner, name)
    state = model.state_dict()
    tensors = {name: state[name] for name in least.values() if name in state}
    config = getattr(model, "config", None)
    said = str(model) if config is None else _lasting(config.to_dict())
    return sha256([type(model).__name__, said, digest(tensors)])


def data_hash(batches: Iterable[Mapping[str, Tensor]]) -> str:
    """Hex SHA-256 of batches in their order: names, types, shapes and content of their tensors."""
    return sha256([digest(batch) for batch in batches])


def _lasting(config: Any) -> Any:
    """What of a configuration is the same after it was saved and opened again."""
    if not isinstance(config, dict):
        return config
    kept = {str(key): _lasting(value) for key, value in config.items()}
    passing = SAVED | CALLED
    return {key: kept[key] for key in kept if key not in passing and not key.startswith("_")}
