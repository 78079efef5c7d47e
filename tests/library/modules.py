"""Cheap modules and their keys."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch

from prunus.library import Key, Module
from prunus.site import Site, Slice

UNITS = 6


def site(index: int = 0) -> Site:
    slices = (Slice(f"layer.{index}.up.weight", (0,), (2,)), Slice("down.weight", (1,), (2,)))
    return Site(f"layer.{index}:neurons", "neurons", (UNITS,), slices)


def mask(index: int = 0) -> torch.Tensor:
    return torch.arange(UNITS) > index % UNITS


def key(index: int = 0, **objective: object) -> Key:
    return Key.of("base", "data", site(index), mask(index), objective)


def module(index: int = 0, dtype: torch.dtype = torch.float32) -> Module:
    weights = torch.randn(4, 3, generator=torch.Generator().manual_seed(index)).to(dtype)
    figures = {"model": "tiny", "pruned": 0.5, "tuned": 0.25, "history": [{"epoch": 0.5}]}
    return Module(site(index).name, "neurons", 0.5, mask(index), {"down.weight": weights}, figures)


def wanted(count: int) -> dict[str, Key]:
    return {str(index): key(index) for index in range(count)}


def equal(one: Module, other: Module) -> bool:
    """Bit for bit, types included."""
    facts = [(m.site, m.kind, m.density, m.figures, set(m.tensors)) for m in (one, other)]
    pairs = [(one.mask, other.mask)]
    pairs += [(own, other.tensors[name]) for name, own in one.tensors.items()]
    return facts[0] == facts[1] and all(
        a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b) for a, b in pairs
    )


def quickly(names: list[str]) -> Iterable[tuple[str, Module]]:
    return [(name, module(int(name))) for name in names]


def slowly(log: Path, seconds: float) -> Callable[[list[str]], Iterator[tuple[str, Module]]]:
    """Tunes by sleeping; what is begun is appended to a log."""

    def tune(names: list[str]) -> Iterator[tuple[str, Module]]:
        for name in names:
            note(log, name)
            time.sleep(seconds)
            yield name, module(int(name))

    return tune


def note(log: Path, line: str) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{os.getpid()} {line}\n".encode())
    os.close(handle)
