"""What pruning adds to a training: CPU milliseconds of one choice of masks, and of every step.

    python benchmarks/mask_update.py

The 72 linear layers of BERT-base (84.9 M weights) as a bare torch module, one thread. Weights and
gradients are random; the criterion is snip_momentum, the schedule cubic with four choices, whose
median is taken. For an idle machine; one minute.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from cells import fill
from torch import nn

from prunus.anatomy import plain
from prunus.drive._course import Course
from prunus.drive._pruner import Pruner
from prunus.registry import build
from prunus.select import Budget, weights

CELLS = [
    {"pattern": pattern, "density": density}
    for pattern, density in [("4x1", 0.1), ("2:4", 0.5), ("1x1", 0.1)]
]
LAYERS, WIDTH, WIDE, STEPS = 12, 768, 3072, 8
SHAPES = [(WIDTH, WIDTH)] * 4 + [(WIDTH, WIDE), (WIDE, WIDTH)]


def measure(pattern: str, density: float) -> dict[str, Any]:
    """CPU milliseconds of a training's pruner."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(*shape, bias=False) for shape in SHAPES * LAYERS))
    sites = plain(model).grid(".*", pattern, head=True)
    course = Course(
        sites,
        build("score", "snip_momentum"),
        build("schedule", {"name": "cubic", "every": 2}),
        Budget(density=density, metric="weights"),
        weights(sites),
    )
    pruner = Pruner(model, torch.optim.SGD(model.parameters(), lr=0.0), [course], STEPS)
    traces, choices, zeros = [], [], []
    for step in range(1, STEPS + 1):
        for weight in model.parameters():
            weight.grad = torch.randn_like(weight)
        traces.append(_milliseconds(pruner._before))
        pruner.done = step
        spent = _milliseconds(pruner._choose)
        choices += [spent] if pruner.times[0].due(step) else []
        zeros.append(_milliseconds(pruner.held.zero))
    kept = {name: int(mask.sum()) for name, mask in pruner.detach().items()}
    return {
        "kept": round(course.cost(kept) / course.cost({}), 6),
        "update_ms": round(median(choices)),
        "trace_ms_a_step": round(median(traces)),
        "zero_ms_a_step": round(median(zeros)),
    }


def _milliseconds(call: Callable[[], None]) -> float:
    start = time.process_time()
    call()
    return 1000 * (time.process_time() - start)


if __name__ == "__main__":
    torch.set_num_threads(1)
    fill("mask_update", CELLS, measure)
