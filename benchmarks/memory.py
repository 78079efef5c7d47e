"""Resident memory against calibration tokens: scoring alone, and with repairs going through.

    python benchmarks/memory.py

A random BERT of 4 x 256 and batches made on the fly, each size in a process of its own. ``memory``
is the MiB of activations that may wait in memory; the rest waits in files, whose pages count as
resident while they are used, but are the system's to take back. Three minutes, one thread.
"""

import subprocess
import sys
from collections.abc import Iterator

from cells import fill

LENGTH, BATCH = 64, 8
CELLS = [
    {"repairs": repairs, "memory": memory, "tokens": tokens}
    for repairs, memory in (("none", 0), ("least_squares", 1024), ("least_squares", 16))
    for tokens in (2_048, 51_200)
]


class Batches:
    """Random batches, made anew in every pass, so that only what prunus keeps is kept."""

    def __init__(self, tokens: int) -> None:
        self.count = tokens // (LENGTH * BATCH)

    def __iter__(self) -> Iterator[dict]:
        import torch

        for seed in range(self.count):
            draw = torch.Generator().manual_seed(seed)
            ids = torch.randint(5, 1000, (BATCH, LENGTH), generator=draw)
            yield {"input_ids": ids, "labels": torch.randint(2, (BATCH,), generator=draw)}


def measure(repairs: str, memory: int, tokens: int) -> dict:
    command = [sys.executable, __file__, repairs, str(memory), str(tokens)]
    peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    return {"peak_rss_mib": round(int(peak) / 1024, 1)}


def one(repairs: str, memory: int, tokens: int) -> None:
    import resource

    import torch
    from transformers import BertConfig, BertForSequenceClassification

    import prunus

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=1000,
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=1024,
    )
    recover = [] if repairs == "none" else [repairs]
    model = BertForSequenceClassification(config)
    prunus.prune(model, Batches(tokens), recover=recover, memory=memory)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(sys.argv[1], *map(int, sys.argv[2:]))
    else:
        fill("memory", CELLS, measure)
