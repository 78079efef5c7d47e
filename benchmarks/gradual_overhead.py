"""What pruning adds to a training step: plain and pruned steps, interleaved in one process.

    PRUNUS_MODELS=... python benchmarks/gradual_overhead.py

MiniLM (6 layers of 384), 16 sequences of 64 tokens, AdamW; snip_momentum, masks chosen anew every 4
steps; and masks of blocks that are learnt, chosen at every step; one thread, processor time. Two
models learn the same random tokens side by side; every pair of steps swaps who goes first. A pair
takes about three seconds.
"""

import os
import statistics
import time
from pathlib import Path

from cells import fill

CELLS = [
    {"pattern": "4x1", "density": 0.1, "every": 4, "pairs": 48, "batch": 16, "length": 64},
    {"pattern": "2:4", "density": 0.5, "every": 4, "pairs": 48, "batch": 16, "length": 64},
    {
        "pattern": "32x32", "density": 0.3, "every": 1, "pairs": 48, "batch": 16, "length": 64,
        "score": "movement",
    },
]  # fmt: skip


def measure(
    pattern: str, density: float, every: int, pairs: int, batch: int, length: int,
    score: str = "snip_momentum",
) -> dict:  # fmt: skip
    import torch

    import prunus

    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = Path(os.environ["PRUNUS_MODELS"]) / "minilm-l6-sst2"
    ids = torch.randint(1000, 20000, (batch, length))
    inputs = {"input_ids": ids, "labels": torch.randint(0, 2, (batch,))}
    sides = []
    for _ in range(2):
        model = prunus.load(folder, dtype=torch.float32).train()
        sides.append((model, torch.optim.AdamW(model.parameters(), lr=1e-5)))
    recipe = {
        "sites": {"grid": pattern},
        "score": score,
        "budget": {"density": density},
        "drive": {"name": "gradual", "schedule": {"name": "cubic", "every": every}},
    }
    pruner = prunus.gradual(*sides[1], recipe, steps=pairs)
    taken: list[list[float]] = [[], []]
    for pair in range(pairs):
        for side in (0, 1) if pair % 2 else (1, 0):
            taken[side].append(_step(*sides[side], inputs))
    pruner.detach()
    plain, pruned = taken
    others = [own for place, own in enumerate(pruned) if place % every != every - 1]
    return {
        "mean": statistics.mean(pruned) / statistics.mean(plain),
        "median": statistics.median(b / a for a, b in zip(plain, pruned, strict=True)),
        "plain_ms": 1e3 * statistics.mean(plain),
        "pruned_ms": 1e3 * statistics.mean(pruned),
        "with_masks_ms": 1e3 * statistics.mean(pruned[every - 1 :: every]),
        "without_masks_ms": 1e3 * statistics.mean(others) if others else None,
    }


def _step(model: object, optimizer: object, inputs: dict) -> float:
    began = time.process_time()
    model(**inputs).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.process_time() - began


if __name__ == "__main__":
    fill("gradual_overhead", CELLS, measure)
