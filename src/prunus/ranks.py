"""The processes that share one run: torchrun or accelerate start one a device, each a rank.

Where there is one process alone, nothing here does anything. Only tensors and bytes travel.
"""

import json
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor

from prunus.errors import PrunusError
from prunus.launched import Parted, processes

T = TypeVar("T")
LONGEST = timedelta(days=7)
"""How long ranks wait for one that works by itself; where one dies, torchrun ends the others."""
_ALONE: list[None] = []


def world() -> int:
    """How many processes share this run."""
    if _ALONE or not (dist.is_available() and dist.is_initialized()):
        return 1
    return dist.get_world_size()


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
        device: where torch computes: ``cuda`` is each rank's own one.

    Raises:
        PrunusError: the device is one for all, or there are fewer than ranks.
    """
    if processes() == 1 or world() > 1:
        yield
        return
    from accelerate import PartialState

    where = torch.device(device)
    if where.index is not None:
        raise PrunusError(
            f"device: {device}: {processes()} processes share this run, and each takes a device of"
            f" its own; say device: {where.type}"
        )
    try:
        PartialState(cpu=where.type == "cpu", timeout=LONGEST)
    except (RuntimeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise PrunusError(
            f"device: {device}: the {processes()} processes of this run cannot meet: {reason}"
        ) from None
    before = signal.signal(signal.SIGTERM, _ended)
    try:
        with _spoken():
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
        PartialState._reset_state()
        dist.destroy_process_group()


def _ended(number: int, _: object) -> NoReturn:
    """Leave in order, so that nothing half-written stays."""
    raise SystemExit(128 + number)


@contextmanager
def alone() -> Iterator[None]:
    """While the block runs, this process counts as the only one."""
    _ALONE.append(None)
    try:
        yield
    finally:
        _ALONE.pop()


def by_first(do: Callable[[], T]) -> T | None:
    """What the first rank does by itself while the others wait; None on those.

    Raises:
        PrunusError: what it raised there, on all of them.
    """
    if world() == 1:
        return do()
    found, error = None, None
    if first():
        with alone():
            try:
                found = do()
            except PrunusError as raised:
                error = raised
    told = shared(b"" if error is None else str(error).encode())
    if told:
        raise error or PrunusError(told.decode())
    return found


def own(things: Iterable[T]) -> Iterator[T]:
    """This rank's share of what all ranks see in the same order: every ``world``-th."""
    count, mine = world(), rank()
    return (thing for place, thing in enumerate(things) if place % count == mine)


def total(sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The sums of all ranks' tensors, added up in float64, or as whole numbers, on each of them.

    Args:
        sums: {name: tensor of any shape}; what a rank lacks, because its share of the data is
            empty, counts as zeros there.
    """
    if world() == 1:
        return dict(sums)
    known = {}
    told = {name: [own.is_floating_point(), list(own.shape)] for name, own in sums.items()}
    for one in gathered(json.dumps(told).encode()):
        known |= json.loads(one)
    return {name: _total(sums.get(name), *known[name]) for name in sorted(known)}


def _total(tensor: Tensor | None, floating: bool, shape: list[int]) -> Tensor:
    wide = torch.float64 if floating else torch.int64
    seen = torch.zeros(shape, dtype=wide, device=_device()) if tensor is None else tensor
    found = seen.detach().to(_device(), wide, copy=True).contiguous()
    if found.numel():
        with _spoken():
            dist.all_reduce(found)
    return found.to(seen)


def spread(tensors: Iterable[Tensor]) -> None:
    """Write the first rank's values into the same tensors of all others."""
    if world() == 1:
        return
    with torch.no_grad():
        for tensor in (own for own in tensors if own.numel()):
            sent = tensor.detach().to(_device()).contiguous()
            with _spoken():
                dist.broadcast(sent, 0)
            tensor.copy_(sent)


def shared(data: bytes) -> bytes:
    """The first rank's bytes, on all of them."""
    if world() == 1:
        return data
    size = torch.tensor([len(data)])
    spread([size])
    sent = torch.zeros(int(size), dtype=torch.uint8)
    if first() and data:
        sent.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    spread([sent])
    return sent.numpy().tobytes()


def number(own: float) -> float:
    """The first rank's number, bit for bit, on all of them."""
    return float.fromhex(shared(float(own).hex().encode()).decode())


def gathered(data: bytes) -> list[bytes]:
    """The bytes of every rank, in their order, on all of them."""
    if world() == 1:
        return [data]
    sizes = _all(torch.tensor([len(data)], device=_device()))
    longest = max(int(size) for size in sizes)
    padded = torch.zeros(longest, dtype=torch.uint8, device=_device())
    if data:
        padded[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    parts = _all(padded)
    return [
        part[: int(size)].cpu().numpy().tobytes() for part, size in zip(parts, sizes, strict=True)
    ]


def collected(own: Mapping[int, Tensor]) -> list[Tensor]:
    """What every rank has of a list of tensors, as the whole list in its order, on all of them.

    Args:
        own: {place in the list: tensor}; each place is one rank's.
    """
    if world() == 1:
        return [own[place] for place in sorted(own)]
    packed = save({str(place): tensor.cpu().contiguous() for place, tensor in own.items()})
    every = {int(name): one for part in gathered(packed) for name, one in load(part).items()}
    return [every[place] for place in sorted(every)]


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
    with _spoken():
        dist.all_gather(found, tensor)
    return found


@contextmanager
def _spoken() -> Iterator[None]:
    """What the processes' connection raises, wherever they talk, in words."""
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        reason = next(iter(str(error).splitlines()), "")
        raise Parted(
            f"another process of this run ended before it was done; see what it said ({reason})"
        ) from None


def _device() -> torch.device:
    """Where what travels must lie."""
    return torch.device("cuda" if "nccl" in dist.get_backend() else "cpu")
