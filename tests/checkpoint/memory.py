"""Run in a fresh process: prints by how many bytes memory grows while data streams by.

``python memory.py TOKENS``: the growth of the resident peak in scoring passes over so many tokens,
after they were made once over a little.
"""

import resource
import sys

import torch

from prunus.anatomy import anatomy
from prunus.registry import build
from prunus.score import score
from tests.tiny import tiny

SIZE, LENGTH = 16, 25


class Stream:
    """Batches that are made anew each time, and kept nowhere."""

    def __init__(self, tokens: int) -> None:
        self.batches = tokens // (SIZE * LENGTH)

    def __iter__(self):
        for seed in range(self.batches):
            generator = torch.Generator().manual_seed(seed)
            ids = torch.randint(3, 50, (SIZE, LENGTH), generator=generator)
            labels = torch.randint(3, (SIZE,), generator=generator)
            yield {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def look(tokens: int) -> None:
    """One pass of every kind over so many tokens."""
    sites = anatomy(model).of("heads", "neurons")
    for name in ("knowledge", "fisher", "obs"):
        score(model, Stream(tokens), sites, build("score", name))


def peak() -> int:
    """The most memory ever resident, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


torch.set_num_threads(1)
model = tiny("bert", heads=4, intermediate_size=64)
look(2000)
before = peak()
look(int(sys.argv[1]))
print(peak() - before)
