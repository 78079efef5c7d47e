"""Where the tensors of suspended passes wait: in memory up to a stated size, then in files."""

import ctypes
import mmap
import tempfile
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet, finalize

import torch
from torch import Tensor

SLAB = 2**26
"""Bytes of a file. Each keeps a descriptor, and goes when the last tensor in it does."""


class Room:
    """Memory for waiting tensors, with files behind it.

    A tensor that is put here while memory is short gets a file's pages for its storage, in place,
    so that everybody who holds it lets go of the memory. The pages are the system's to evict.
    """

    def __init__(self, size: int, folder: str | Path | None = None) -> None:
        """Keep up to ``size`` bytes in memory; files lie in ``folder``, or among temporary ones."""
        self.size, self.folder = size, folder
        self.held = self.filed = 0
        self._known: set[int] = set()
        self._slabs: WeakSet[mmap.mmap] = WeakSet()
        self._slab: mmap.mmap | None = None
        self._used = 0

    def put(self, tensor: Tensor) -> Tensor:
        """The same tensor; counted until it is freed, moved into a file where it does not fit."""
        needed = tensor.numel() * tensor.element_size()
        expanded = needed > tensor.untyped_storage().nbytes()
        if not needed or expanded or id(tensor) in self._known:
            return tensor
        self._known.add(id(tensor))
        held = needed if tensor.device.type != "cpu" or self.held + needed <= self.size else 0
        self.held += held
        finalize(tensor, self._freed, id(tensor), held)
        if not held:
            self.filed += needed
            tensor.data = self._mapped(tensor)
        return tensor

    def rest(self) -> None:
        """Take what waits in files out of memory, until it is used again."""
        for slab in self._slabs:
            slab.madvise(mmap.MADV_DONTNEED)

    def _freed(self, known: int, held: int) -> None:
        self._known.discard(known)
        self.held -= held

    def _mapped(self, tensor: Tensor) -> Tensor:
        """A copy whose pages belong to a file without a name."""
        size = tensor.numel() * tensor.element_size()
        slab, start = self._place(size)
        copy = torch.frombuffer(slab, dtype=tensor.dtype, count=tensor.numel(), offset=start)
        copy = copy.view(tensor.shape).copy_(tensor)
        slab.madvise(mmap.MADV_DONTNEED, start, size)
        return copy

    def _place(self, size: int) -> tuple[mmap.mmap, int]:
        """Pages in the current file, or in a new one."""
        start = -(-self._used // mmap.PAGESIZE) * mmap.PAGESIZE
        if self._slab is None or start + size > len(self._slab):
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.truncate(max(size, SLAB))
                self._slab, start = mmap.mmap(file.fileno(), 0), 0
            self._slabs.add(self._slab)
            _trim()
        self._used = start + size
        return self._slab, start


def _trim() -> None:
    """Give freed memory back, where the C library can: tensors that went into files leave holes."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
