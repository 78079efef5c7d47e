"""A ten-fold reduction of FLOPs, and what two minutes of distillation give back.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/touch_up.py

SST-2; the pruned model learns the dense model's answers on the training sentences (no labels), all
kept weights but the embeddings, for 120 seconds of CPU time on one thread. About four minutes.
"""

import os
import time

import torch
from cells import fill
from torch.nn.functional import kl_div
from transformers import AutoTokenizer

import prunus
from prunus.task.glue import Glue

CELLS = [{"density": 0.1, "seconds": 120, "rate": 3e-4, "seed": 0}]


def divergence(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    student, teacher = (z.log_softmax(-1) for z in (student, teacher))
    return kl_div(student, teacher, reduction="batchmean", log_target=True)


def distil(small: torch.nn.Module, dense: torch.nn.Module, batches: list, seconds: float,
           rate: float) -> int:  # fmt: skip
    small.get_input_embeddings().requires_grad_(False)
    weights = [weight for weight in small.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.01)
    started, steps = time.process_time(), 0
    while (spent := time.process_time() - started) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, spent / 6) * (1 - spent / seconds)
        batch = batches[steps % len(batches)]
        with torch.no_grad():
            answer = dense(**batch).logits
        divergence(small(**batch).logits, answer).backward()
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    return steps


def measure(density: float, seconds: float, rate: float, seed: int) -> dict:
    torch.manual_seed(seed)
    folder = os.path.join(os.environ["PRUNUS_MODELS"], "minilm-l6-sst2")
    dense = prunus.load(folder, dtype=torch.float32).eval()
    task = Glue(subset="sst2", splits={"calibration": 20000})
    data = task.prepare(AutoTokenizer.from_pretrained(folder), num_labels=2, seed=seed)
    few = data.batches("calibration", limit=476)
    small = prunus.prune(dense, few, density)
    before = data.evaluate(small)
    batches = [
        {key: value for key, value in batch.items() if key != "labels"}
        for batch in data.batches("calibration")
    ]
    batches = [batches[i] for i in torch.randperm(len(batches)).tolist()]
    steps = distil(small, dense, batches, seconds, rate)
    after = data.evaluate(small)
    gap = (after.scores - before.scores).double() * 100
    return {
        "dense": data.evaluate(dense).value,
        "pruned": before.value,
        "touched_up": after.value,
        "gain": gap.mean().item(),
        "gain_stderr": (gap.std() / len(gap) ** 0.5).item(),
        "steps": steps,
        "parameters": small.num_parameters(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    fill("touch_up", CELLS, measure)
