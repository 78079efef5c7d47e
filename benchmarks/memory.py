"""Resident memory against calibration tokens: 2 k and 50 k, scoring and least squares.

    python benchmarks/memory.py

A random BERT of 4 x 256 and batches made on the fly, each size in a process of its own. About
three minutes, one thread.
"""

import subprocess
import sys
from collections.abc import Iterator

from cells import fill

LENGTH, BATCH = 64, 8
CELLS = [
    {"score": score, "drive": drive, "tokens": tokens}
    for score, drive in (("fisher", "oneshot"), ("knowledge", "sweep"))
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


def measure(score: str, drive: str, tokens: int) -> dict:
    command = [sys.executable, __file__, score, drive, str(tokens)]
    peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    return {"peak_rss_mib": round(int(peak) / 1024, 1)}


def one(score: str, drive: str, tokens: int) -> None:
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
    prunus.prune(BertForSequenceClassification(config), Batches(tokens), score=score, drive=drive)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        fill("memory", CELLS, measure)
