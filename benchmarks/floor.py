"""Where the time of pruning goes: CPU seconds of each phase beside what its products must take.

    PRUNUS_DATA=... PRUNUS_MODELS=... python benchmarks/floor.py

SST-2, the recipe ``prunus``, one thread. The floor is the phase's matrix products, as torch counts
them, at the rate of large float32 products on this machine, measured in the same process;
factorisations are in the seconds and not in the floor. One minute.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from cells import fill
from retraining_free import dense_of, task_of
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

CELLS = [{"task": "sst2", "recipe": "prunus", "density": density} for density in (0.5, 0.2)]


class Products(TorchDispatchMode):
    """Counts what matrix products cost, forward and backward."""

    flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        cost = flop_registry.get(func._overloadpacket)
        self.flops += cost(*args, **(kwargs or {}), out_val=out) if cost else 0
        return out


class Watch:
    """CPU seconds or products of each phase: counting slows, so that there are two passes."""

    def __init__(self, *, counting: bool) -> None:
        self.counting = counting
        self.found: Counter = Counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        counter, start = Products(), time.process_time()
        with counter if self.counting else nullcontext():
            yield
        self.found[name] += counter.flops if self.counting else time.process_time() - start


def peak() -> float:
    """FLOP a CPU second in products of float32 matrices."""
    a = torch.rand(4096, 1536)
    b = torch.rand(1536, 1536)
    best = min(_seconds(lambda: a @ b) for _ in range(9))
    return 2 * a.shape[0] * a.shape[1] * b.shape[1] / best


def _seconds(call: Any) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def measure(task: str, recipe: str, density: float) -> dict:
    from transformers import AutoTokenizer

    import prunus
    from prunus.anatomy import anatomy
    from prunus.drive import job_of
    from prunus.recipe import read
    from prunus.recipe._parts import build

    torch.set_num_threads(1)
    folder, settings = dense_of(task), read(recipe)
    model = prunus.load(folder, dtype=torch.float32).eval()
    data = task_of(task).prepare(
        AutoTokenizer.from_pretrained(folder), num_labels=model.config.num_labels
    )
    batches = data.batches("calibration", 32, order=settings.calibration.order)

    def phases(*, counting: bool) -> Counter:
        watch = Watch(counting=counting)
        job = job_of(
            model, anatomy(model).of("heads", "neurons"), batches, budget={"density": density},
            score=settings.score, select=settings.select, recover=settings.recover, phase=watch,
        )  # fmt: skip
        build("drive", settings.drive).run(job)
        return watch.found

    phases(counting=False)
    seconds, flops, rate = phases(counting=False), phases(counting=True), peak()
    return {
        "gflops_a_second": round(rate / 1e9),
        "phases": {
            name: {
                "cpu_seconds": round(seconds[name], 2),
                "gflop": round(flops[name] / 1e9),
                "floor_seconds": round(flops[name] / rate, 2),
            }
            for name in seconds
        },
    }


if __name__ == "__main__":
    fill("floor", CELLS, measure)
