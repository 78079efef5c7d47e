"""Where a model computes, and with how many threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def device_of(model: nn.Module) -> torch.device:
    """Where a model computes; the processor, where it has no parameters."""
    return next((tensor.device for tensor in model.parameters()), torch.device("cpu"))


@contextmanager
def threads(count: int | None) -> Iterator[int]:
    """Let torch compute with ``count`` threads while the block runs; None changes nothing."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count or before)
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
