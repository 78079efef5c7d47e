"""The processes that share one run: torchrun or accelerate start one a device, each a rank.

Where there is one process alone, nothing here does anything. Only tensors and bytes travel.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from struct import pack, unpack
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from prunus.errors import PrunusError

T = TypeVar("T")


def world() -> int:
    """How many processes share this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if world() > 1 else 0


def first() -> bool:
    """Whether this is the one that writes files and speaks."""
    return rank() == 0


@contextmanager
def together(device: str) -> Iterator[None]:
    """Joins the processes that torchrun started, if it did: gloo on processors, NCCL on CUDA.

    Args:
        device: where torch computes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or world() > 1:
        yield
        return
    from accelerate import PartialState

    PartialState(cpu=torch.device(device).type == "cpu")
    try:
        yield
    finally:
        PartialState._reset_state()
        dist.destroy_process_group()


def own(things: Iterable[T]) -> Iterator[T]:
    """This rank's share of what all ranks see in the same order: every ``world``-th."""
    count, mine = world(), rank()
    return (thing for place, thing in enumerate(things) if place % count == mine)


def total(sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The sums of all ranks' tensors, added up in float64, or as whole numbers, on each of them.

    Args:
        sums: {name: tensor of any shape}; every rank has the same names and shapes.
    """
    return {name: _total(sums[name]) for name in sorted(sums)} if world() > 1 else dict(sums)


def _total(tensor: Tensor) -> Tensor:
    wide = tensor.to(torch.float64 if tensor.is_floating_point() else torch.int64).contiguous()
    found = wide.clone()
    dist.all_reduce(found)
    return found.to(tensor.dtype)


def spread(tensors: Iterable[Tensor]) -> None:
    """Write the first rank's values into the same tensors of all others."""
    if world() == 1:
        return
    with torch.no_grad():
        for tensor in tensors:
            sent = tensor.detach().contiguous()
            dist.broadcast(sent, 0)
            tensor.copy_(sent)


def shared(data: bytes) -> bytes:
    """The first rank's bytes, on all of them."""
    return gathered(data if first() else b"")[0]


def each(value: float) -> list[float]:
    """The number of every rank, in their order, on all of them."""
    return [unpack("d", one)[0] for one in gathered(pack("d", value))]


def gathered(data: bytes) -> list[bytes]:
    """The bytes of every rank, in their order, on all of them."""
    if world() == 1:
        return [data]
    sizes = _all(torch.tensor([len(data)], device=_device()))
    longest = max(int(size) for size in sizes)
    padded = torch.zeros(longest, dtype=torch.uint8, device=_device())
    padded[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else 0
    parts = _all(padded)
    return [
        part[: int(size)].cpu().numpy().tobytes() for part, size in zip(parts, sizes, strict=True)
    ]


def agree(what: str, data: bytes) -> None:
    """Check that all ranks have come to the same.

    Args:
        what: it is, for the message: the plan.
        data: it, as bytes.

    Raises:
        PrunusError: they have not; all of them raise.
    """
    digests = [one.hex() for one in gathered(sha256(data).digest())]
    if len(set(digests)) > 1:
        told = ", ".join(f"rank {place}: {one[:12]}" for place, one in enumerate(digests))
        raise PrunusError(
            f"{what} differs between the processes of this run ({told}): they need the same data,"
            " seed, versions and kind of hardware"
        )


def _all(tensor: Tensor) -> list[Tensor]:
    found = [torch.empty_like(tensor) for _ in range(world())]
    dist.all_gather(found, tensor)
    return found


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
