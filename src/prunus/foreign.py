"""Checkpoints that may come from anywhere: what is checked before anything is built of them."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook
from transformers.initialization import no_init_weights

from prunus import headers
from prunus.errors import PrunusError
from prunus.headers import Header
from prunus.notation import read_json

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
"""Weights in forms that are not read; most of them run code when they are."""
PEFT = "adapter_config.json"
COUNTED = re.compile(r"layer|depth|label|class|block|expert|stage|buckets|num_.*heads")
"""Settings of which as many things are made."""
MANY = 2**20
KERNELS = ("attn_implementation", "_attn_implementation", "experts_implementation", "use_kernels")
MODULES = 10_000
"""What a network of few tensors may be built of: layers may be dropped once they are built."""
EACH = 50
"""Modules to a tensor of a file."""
ROOM = 2**24
"""Values that a network may have beside those of the files: a new head, rows of new tokens."""
TIMES, PACKED = 4, 1000
"""How many times as many values a network may have as its files: tied ones are saved once, and
packed ones leave zeros out."""


def require_sound(folder: Path) -> Mapping[str, Header]:
    """Check the files of a checkpoint against each other; nothing of them is allocated or run.

    Returns:
        The headers of its weights, by name of their file.

    Raises:
        PrunusError: a link leads out of the folder, weights are pickled alone, an index names other
            files, a header or a size makes no sense, or the configuration asks for code.
    """
    config = config_of(folder)
    for path in folder.rglob("*"):
        if path.is_symlink():
            _require_inside(folder, path)
    if (folder / PEFT).is_file():
        raise PrunusError(
            f"{folder} holds adapters of peft ({PEFT}), which name another checkpoint: merge them"
            " first (merge_and_unload), and save the whole model"
        )
    _require_counts(folder / CONFIG, config)
    return {name: headers.header(folder / name) for name in _weights(folder)}


def config_of(folder: Path) -> dict[str, Any]:
    """The configuration of a checkpoint as its file says it.

    Raises:
        PrunusError: there is none, or it is no mapping in JSON.
    """
    said = read_json(folder / CONFIG)
    if not isinstance(said, dict):
        raise PrunusError(f"{folder / CONFIG}: not readable (it holds no keys)")
    return said


def require_fits(
    cls: Any, config: Any, held: Iterable[Header], folder: Path, times: int = TIMES
) -> None:
    """Check that what a configuration describes is about as large as the files; on no device.

    Args:
        cls: the class of the network.
        config: left as it is.
        held: what the files hold.
        folder: for messages.
        times: how many times as many values the network may have.

    Raises:
        PrunusError: the network would be far larger.
    """
    files = list(held)
    tensors, elements = sum(len(own.shapes) for own in files), sum(own.elements for own in files)
    with torch.device("meta"), no_init_weights(), _at_most(MODULES + EACH * tensors, folder):
        model: nn.Module = getattr(cls, "from_config", cls)(deepcopy(config))
    wanted = sum(own.numel() for own in {*model.parameters(), *model.buffers()})
    if wanted > times * elements + ROOM:
        raise PrunusError(
            f"{folder}: {CONFIG} describes a network of {wanted:,} values, and its weights are"
            f" {elements:,}: they do not belong together"
        )


@contextmanager
def opening(folder: object) -> Iterator[None]:
    """Tells what transformers makes of files that make no sense: it raises anything.

    Raises:
        PrunusError: whatever was raised, in one line.
    """
    try:
        yield
    except (PrunusError, MemoryError):
        raise
    except Exception as error:
        why = " ".join(str(error).split())[:500]
        raise PrunusError(f"{folder}: not readable ({type(error).__name__}: {why})") from error


def require_known(name: str, where: object) -> None:
    """Check that what a file names is a part of prunus, or of a module that was imported already.

    Raises:
        PrunusError: it would have to be imported because a file says so.
    """
    module, outside, _ = name.partition(":")
    if outside and module not in sys.modules:
        raise PrunusError(
            f"{where} names {name!r}, and code is not imported because a file says so: import"
            f" {module} first, if you trust it"
        )


def _weights(folder: Path) -> list[str]:
    """The files that hold the weights.

    Raises:
        PrunusError: there are none, or an index names files elsewhere.
    """
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if (folder / INDEX).is_file():
        return _indexed(folder, folder / INDEX)
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
    if pickled:
        raise PrunusError(
            f"{folder} holds its weights as {pickled[0]} alone, and pickles can run any code: only"
            " safetensors are read. Where you trust it, open it with transformers, and"
            " save_pretrained writes safetensors"
        )
    raise PrunusError(f"{folder} is incomplete: {WEIGHTS} is missing")


def _indexed(folder: Path, index: Path) -> list[str]:
    said = read_json(index)
    try:
        names = sorted(set(said["weight_map"].values()))
    except (LookupError, TypeError, AttributeError) as error:
        raise PrunusError(f"{index}: not readable ({error!r})") from None
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+\.safetensors", name):
            raise PrunusError(f"{index}: {name!r} is no safetensors file of this folder")
    return names


def _require_inside(folder: Path, path: Path) -> None:
    """Check a link; those of the hub's cache lead from a snapshot to the blobs beside it."""
    home = folder.resolve()
    if home.parent.name == "snapshots":
        home = home.parents[1]
    try:
        inside = path.resolve().is_relative_to(home)
    except (OSError, RuntimeError):  # in circles
        inside = False
    if not inside:
        raise PrunusError(f"{path} is a link that leads out of the checkpoint: copy what it means")


def _require_counts(path: Path, said: Any) -> None:
    """Check settings of which as many things are made, however deep they lie."""
    for key, value in said.items() if isinstance(said, dict) else ():
        counts = value if isinstance(value, list) else [value]
        large = any(isinstance(own, int | float) and abs(own) > MANY for own in counts)
        if COUNTED.search(str(key)) and large:
            raise PrunusError(f"{path}: {key}: {str(value)[:60]} is more than {MANY:,}")
        if key in KERNELS and (value is True or "/" in str(value)):
            raise PrunusError(f"{path}: {key}: {value!r} fetches code from the hub: remove it")
        for below in counts:
            _require_counts(path, below)


@contextmanager
def _at_most(count: int, folder: Path) -> Iterator[None]:
    """Ends the building of a network that has more modules."""
    left = count

    def counted(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise PrunusError(
                f"{folder}: {CONFIG} describes a network of more than {count:,} modules, and the"
                " weights have fewer tensors: they do not belong together"
            )

    hook = register_module_module_registration_hook(counted)
    try:
        yield
    finally:
        hook.remove()
