"""Where the tensors of suspended passes wait: in memory up to a stated size, then in a file."""

import mmap
import tempfile
from pathlib import Path
from weakref import WeakSet, finalize

import torch
from torch import Tensor


class Room:
    """Memory for waiting tensors, with files behind it.

    A tensor that is put here while memory is short gets a file's pages for its storage, in place,
    so that everybody who holds it lets go of the memory. The pages are the system's to evict.
    """

    def __init__(self, size: int, folder: str | Path | None = None) -> None:
        """Keep up to ``size`` bytes in memory; files lie in ``folder``, or among temporary ones."""
        self.size, self.folder = size, folder
        self.held = self.filed = 0
        self._pages: WeakSet[mmap.mmap] = WeakSet()

    def put(self, tensor: Tensor) -> Tensor:
        """The same tensor; counted until it is freed, moved into a file where it does not fit."""
        needed = tensor.numel() * tensor.element_size()
        if tensor.device.type != "cpu" or self.held + needed <= self.size:
            self.held += needed
            finalize(tensor, self._freed, needed)
        else:
            self.filed += needed
            tensor.data = self._mapped(tensor)
        return tensor

    def rest(self) -> None:
        """Take what waits in files out of memory, until it is used again."""
        for pages in self._pages:
            pages.madvise(mmap.MADV_DONTNEED)

    def _freed(self, size: int) -> None:
        self.held -= size

    def _mapped(self, tensor: Tensor) -> Tensor:
        """A copy whose pages belong to a file without a name, which goes when the copy does."""
        with tempfile.TemporaryFile(dir=self.folder) as file:
            file.truncate(max(1, tensor.numel() * tensor.element_size()))
            pages = mmap.mmap(file.fileno(), 0)
        copy = torch.frombuffer(pages, dtype=tensor.dtype, count=tensor.numel()).view(tensor.shape)
        copy.copy_(tensor)
        self._pages.add(pages)
        pages.madvise(mmap.MADV_DONTNEED)
        return copy
