"""Weights without their zero blocks on the disk: the blocks that live, and a bit for each block."""

import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from prunus import headers, plan
from prunus.checkpoint._record import FORMAT
from prunus.edit.blocks import alive, block_of, joined, tiles
from prunus.errors import PrunusError
from prunus.foreign import PACKED, ROOM

LIVE = ".live"
"""What the name of a weight gets behind it, to be that of its blocks' bits."""

Record = dict[str, dict[str, Any]]


def packable(model: PreTrainedModel) -> bool:
    """Whether any weight of a model has zeros that would be left out on the disk."""
    return any(_block(tensor) is not None for tensor in model.state_dict().values())


def pack(folder: Path) -> None:
    """Leave the zero blocks of weights out of a checkpoint that was just saved.

    A weight keeps its name and becomes its live blocks, [blocks, rows, columns], with their bits,
    packed, as ``NAME.live``. The configuration records the shapes.

    Args:
        folder: a checkpoint of prunus' own, whose configuration has a record.

    Raises:
        PrunusError: no weight has zeros whose place could be saved.
    """
    record: Record = {}
    for path in sorted(folder.glob("*.safetensors")):
        record |= _pack(path)
    if not record:
        raise PrunusError(
            "packed: the model's weights hold no zeros whose place could be saved, so that packing"
            " would change nothing; leave it out"
        )
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["prunus"] |= {"format": FORMAT.version, "packed": record}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def unpacked(files: Iterable[str], record: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    """All tensors of packed files, zeros in their places again; they have no sign.

    Args:
        files: safetensors files.
        record: {weight: {"shape": its shape, "block": [rows, columns]}}, as the configuration has
            it.

    Raises:
        PrunusError: a file does not hold what the record tells of.
    """
    held = {name: tensor for path in files for name, tensor in headers.read(Path(path)).items()}
    stored, wanted = (sum(own) for own in (
        (tensor.numel() for tensor in held.values()),
        (prod(told["shape"]) for told in record.values()),
    ))  # fmt: skip
    if wanted > PACKED * stored + ROOM:
        raise PrunusError(
            f"{wanted:,} packed weights in {stored:,} values: no weights of a network"
        )
    for name, told in record.items():
        try:
            bits, blocks = held.pop(name + LIVE), held[name]
            held[name] = _whole(blocks, bits, tuple(told["shape"]), tuple(told["block"]))
        except (KeyError, IndexError, RuntimeError, ValueError) as error:
            raise PrunusError(f"{name}: not packed as the configuration says ({error})") from None
    return held


def _block(tensor: Tensor) -> tuple[int, int] | None:
    wide = tensor.dim() > 1 and tensor.is_floating_point()
    return block_of(tensor) if wide else None


def _pack(path: Path) -> Record:
    """Write a file anew, unless it stays as it is; which of its weights are packed, and how."""
    metadata = dict(headers.header(path).metadata)
    record: Record = {}
    held = headers.read(path)
    for name, tensor in list(held.items()):
        block = _block(tensor)
        if block is not None:
            record[name] = {"shape": list(tensor.shape), "block": list(block)}
            live = alive(tensor, block)
            held[name] = tiles(tensor, block)[live].contiguous()
            held[name + LIVE] = plan.pack(live)
    if record:
        fresh = path.with_name(f"{path.name}.packed")  # the file's own tensors still lie in it
        save_file(held, fresh, metadata)
        fresh.replace(path)
    return record


def _whole(blocks: Tensor, bits: Tensor, shape: tuple[int, ...], block: tuple[int, int]) -> Tensor:
    rows, columns = prod(shape) // shape[1] // block[0], shape[1] // block[1]
    live = plan.unpack(bits, (rows * columns,))
    if blocks.shape != (int(live.sum()), *block):
        raise ValueError(f"{tuple(blocks.shape)} values in {int(live.sum())} blocks of {block}")
    every = blocks.new_zeros(rows * columns, *block)
    every[live] = blocks
    return joined(every.reshape(rows, columns, *block), shape).contiguous()
