"""What a pruner knows, as tensors: a training that was broken off goes on from them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from prunus import headers
from prunus.errors import PrunusError
from prunus.formats import Format
from prunus.notation import load_json
from prunus.probe import Trace

FORMAT = Format("state of a pruning", 1, unsaid=1)
ABOUT = "prunus"

if TYPE_CHECKING:
    from prunus.drive._pruner import Pruner


def state_of(pruner: "Pruner") -> dict[str, Tensor]:
    """``done``, ``mask/SITE``, ``scores/SITE``, ``trace/WHAT/SITE``, and what goes in parts."""
    masks = {f"mask/{name}": mask for name, mask in pruner.masks.items()}
    values = {key: trace.value for key, trace in _traces(pruner)}
    traces = {key: value for key, value in values.items() if value is not None}
    eased = {key: value for t in pruner.tracks for key, value in t.easing.state().items()}
    done = {"done": torch.tensor(pruner.done)}
    return {**done, **masks, **dict(pruner.gates.state()), **traces, **eased}


def restore(pruner: "Pruner", state: Mapping[str, Tensor]) -> None:
    """Put a pruner where another one was.

    Raises:
        PrunusError: it had other sites, patterns or criteria.
    """
    _require_ours(pruner, state)
    pruner.done = int(state["done"])
    for name, mask in pruner.masks.items():
        pruner.masks[name] = state[f"mask/{name}"].to(mask.device)
    for key, scores in pruner.gates.state():
        scores.copy_(state[key])
    for key, trace in _traces(pruner):
        value = state.get(key)
        device = pruner.masks[trace.site.name].device
        trace.value = None if value is None else value.to(device).clone()
    for track in pruner.tracks:
        devices = {name: pruner.masks[name].device for name in track.course.sites}
        track.easing.restore(devices, state)


def read(path: Path) -> dict[str, Tensor]:
    """A state from a safetensors file.

    Raises:
        PrunusError: there is none, or it cannot be read.
    """
    if not path.is_file():
        raise PrunusError(f"{path}: there is no state of a pruning to go on from")
    try:
        FORMAT.current(load_json(headers.header(path).metadata.get(ABOUT, "{}")))
        return headers.read(path)
    except ValueError as error:
        why = str(error).removeprefix(f"{path}: ")
        raise PrunusError(f"{path}: not a readable state of a pruning ({why})") from None


def about() -> dict[str, str]:
    """What a state's file says of itself."""
    return {ABOUT: json.dumps({"format": FORMAT.version})}


def _traces(pruner: "Pruner") -> Iterator[tuple[str, Trace]]:
    """Traces by their names in the state."""
    return (pair for track in pruner.tracks for pair in track.remembered())


def _require_ours(pruner: "Pruner", state: Mapping[str, Tensor]) -> None:
    needed = {"done", *(f"mask/{name}" for name in pruner.masks), *dict(pruner.gates.state())}
    eased = {f"{what}/{name}" for what in ("goal", "rank", "part") for name in pruner.masks}
    known = needed | eased | {key for key, _ in _traces(pruner)}
    other = (state.keys() - known) | (needed - state.keys())
    if other:
        raise PrunusError(
            f"the saved state is of another pruning: only one of them has {sorted(other)[0]!r}"
        )
    for name, mask in pruner.masks.items():
        shape = tuple(state[f"mask/{name}"].shape)
        if shape != mask.shape:
            raise PrunusError(
                f"the saved state is of another pattern: site {name!r} had a grid of {shape},"
                f" and now has one of {tuple(mask.shape)}"
            )
