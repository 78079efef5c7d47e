"""The clocks that calls are timed with, and the state in which they are."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class Call:
    """A call, warmed up and repeated often enough to be timed.

    Attributes:
        device: where it computes.
        repeats: how often it is called in a row.
    """

    def __init__(self, call: Callable[[], Any], device: torch.device, seconds: float = 0.0) -> None:
        """Warm up, and find how many repeats take ``seconds``: one where that is 0."""
        self.call, self.device, self.repeats = call, device, 1
        self.time()
        if seconds:
            best = min(self.time()[1] for _ in range(2))
            self.repeats = max(1, math.ceil(seconds * 1000 / max(best, 1e-6)))
            self.time()

    @torch.inference_mode()
    def time(self) -> tuple[float, float]:
        """Milliseconds of one call: of computing, and on the wall."""
        self._settle()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(self.repeats):
            self.call()
        self._settle()
        spent = time.process_time() - cpu, time.perf_counter() - wall
        return spent[0] * 1000 / self.repeats, spent[1] * 1000 / self.repeats

    def _settle(self) -> None:
        """Accelerators compute behind our back: wait for them before a clock is read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def clock_of(device: torch.device) -> str:
    """``cpu``, or ``wall`` on an accelerator, where the processor only waits."""
    return "cpu" if device.type == "cpu" else "wall"


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode while the block runs."""
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        yield
    finally:
        for module in training:
            module.training = True
