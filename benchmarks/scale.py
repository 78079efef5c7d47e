"""How time and memory grow with layers, width and tokens, on random networks.

    python benchmarks/scale.py            # measure what results/scale.jsonl lacks
    python benchmarks/scale.py --table    # the table of docs/scale.md

Every cell is a process of its own, one thread. ``seconds`` are of its processor, for the step
alone; ``mib`` is by how much its peak of resident memory lies above that before the step. Plans are
made of Llamas on the meta device; everything else is measured on BERTs of heads of 64 and neurons
of four times the width, by batches of 8 texts of 128 tokens. Ten minutes.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cells import fill, rows

LENGTH, BATCH = 128, 8
SCORES = ("magnitude", "fisher", "obs")
BASE = {"layers": 2, "width": 256, "tokens": 4096}
GROWN = ({}, {"layers": 4}, {"width": 512}, {"tokens": 8192})
STEPS = (*(f"score {name}" for name in SCORES), "least_squares", "sweep", "save", "load")
PLANS = [
    {"step": "plan", "layers": layers, "width": width, "tokens": LENGTH}
    for layers, width in ((32, 4096), (40, 8192), (80, 8192))
]
FORMULAS = (
    "weights, `4 P`",
    "weights, dense and student, `8 P`",
    "a statistic of every unit, `8 units`",
    "the largest Gram matrix, `8 w²`",
    "Gram matrices of all readers",
    "a plan in memory, `units`",
)
CELLS = PLANS + [{"step": step, **BASE, **more} for step in STEPS for more in GROWN]


def measure(**cell: Any) -> dict[str, float]:
    command = [sys.executable, __file__, json.dumps(cell)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def llama(layers: int, width: int) -> Any:
    """A Llama without weights, with 8 groups of heads and neurons of 3.5 times the width."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 128,
        num_key_value_heads=8, intermediate_size=7 * width // 2, vocab_size=128256,
    )  # fmt: skip
    with torch.device("meta"):
        return LlamaForCausalLM(config).eval()


def planned(layers: int, width: int, tokens: int) -> Callable[[], object]:
    """Sites, costs and a plan of half the FLOPs of a Llama without weights."""
    import torch

    from prunus.anatomy import anatomy
    from prunus.drive import job_of
    from prunus.drive.oneshot import Oneshot

    model = llama(layers, width)
    batch = {"input_ids": torch.ones(1, tokens, dtype=torch.long)}

    def plan() -> object:
        sites = anatomy(model).of("heads", "neurons")
        job = job_of(model, sites, [batch], score="random", budget={"density": 0.5}, recover=[])
        return Oneshot().run(job)

    return plan


def pruned(step: str, layers: int, width: int, tokens: int) -> Callable[[], object]:
    """A step of pruning a BERT to half its FLOPs."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    import prunus
    from prunus.anatomy import anatomy
    from prunus.registry import build
    from prunus.score import score

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=1000, hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=width // 64, intermediate_size=4 * width,
    )  # fmt: skip
    model = BertForSequenceClassification(config).eval()
    batches = [
        {
            "input_ids": torch.randint(5, 1000, (BATCH, LENGTH)),
            "labels": torch.randint(2, (BATCH,)),
        }
        for _ in range(tokens // (BATCH * LENGTH))
    ]
    name, _, criterion = step.partition(" ")
    if name == "score":
        sites = anatomy(model).of("heads", "neurons")
        return lambda: score(model, batches, sites, build("score", criterion))
    if name in ("save", "load"):
        folder = Path(tempfile.mkdtemp()) / "model"
        small = prunus.prune(model, batches, score="magnitude", select="greedy", recover=[])
        if name == "save":
            return lambda: prunus.save(small, folder)
        prunus.save(small, folder)
        return lambda: prunus.load(folder)
    more = {"drive": "sweep"} if name == "sweep" else {}
    return lambda: prunus.prune(
        model, batches, score="fisher", select="greedy", recover=["least_squares"], **more
    )


def one(step: str, layers: int, width: int, tokens: int) -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    shape = (layers, width, tokens)
    work = planned(*shape) if step == "plan" else pruned(step, *shape)
    return spent(work)


def spent(work: Callable[[], object]) -> dict[str, float]:
    """What a piece of work takes."""
    before, began = peak(), time.process_time()
    work()
    return {
        "seconds": round(time.process_time() - began, 2),
        "mib": round((peak() - before) / 1024),
    }


def peak() -> int:
    """KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def table() -> None:
    print("| Step | Layers | Width | Tokens | Processor seconds | MiB more |")
    print("|---|---|---|---|---|---|")
    for row in rows("scale"):
        cell = row["cell"]
        shape = f"{cell['layers']} | {cell['width']:,} | {cell['tokens']:,}"
        print(f"| {cell['step']} | {shape} | {row['seconds']} | {row['mib']:,} |")
    print()
    shapes()


def shapes() -> None:
    """What the formulas give for large models, in GB."""
    from prunus.anatomy import anatomy
    from prunus.measure.size import parameters

    models = [llama(32, 4096), llama(80, 8192)]
    found = []
    for model in models:
        weights = 4 * parameters(model) / 1e9
        sites = anatomy(model).of("heads", "neurons")
        grams = [
            8 * sites.tensors.shapes[site.inlet.tensor][site.input_axis] ** 2 / 1e9
            for site in sites.values()
        ]
        units = sum(site.units for site in sites.values())
        found.append((weights, 2 * weights, 8 * units / 1e9, max(grams), sum(grams), units / 1e9))
    print(f"| GB | {' | '.join(f'{parameters(model) / 1e9:.1f}B' for model in models)} |")
    print("|---|---|---|")
    for name, *sizes in zip(FORMULAS, *found, strict=True):
        print(f"| {name} | {' | '.join(f'{size:.3g}' for size in sizes)} |")


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        table()
    elif len(sys.argv) > 1:
        print(json.dumps(one(**json.loads(sys.argv[1]))))
    else:
        fill("scale", CELLS, measure)
