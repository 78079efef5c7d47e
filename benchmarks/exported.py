"""What is left of the FLOPs' promise in each runtime: speed-up over the ratio of the FLOPs.

    python benchmarks/exported.py [PART ...]     # of the cells, those whose name has a PART

Shapes of BERT-base (12 x 768, random weights; all-mpnet-base-v2 where $PRUNUS_MPNET or
runs/dense/all-mpnet-base-v2 has it) without heads and neurons, and of ResNet-50 (random) without
channels, as many of every site, or of mpnet also those of the least magnitude; channels as is or in
multiples of 16; and of zeros in blocks, which these runtimes do not see. Batch 1, 128 tokens or 224
pixels, one thread, CPU time, 15 pairs. Half a minute a cell.
"""

import os
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch
import transformers
from cells import fill

import prunus
from prunus.recipe._sample import random_sample
from prunus.recipe.bench import Asked, bench

MPNET = Path(os.environ.get("PRUNUS_MPNET", "runs/dense/all-mpnet-base-v2"))
RUNTIMES = ("openvino", "onnx", "torch-eager")
GONE = (0.5, 0.75, 0.9)
CELLS = [
    *({"model": "bert", "gone": gone, "runtime": name} for name in RUNTIMES for gone in GONE),
    *(
        {"model": name, "gone": gone, "runtime": "openvino", "fixed": True}
        for name in ("bert", "mpnet")
        for gone in GONE
    ),
    *(
        {"model": "bert", "gone": gone, "runtime": "openvino", "dtype": dtype}
        for dtype in ("bfloat16", "int8")
        for gone in GONE
    ),
    *(
        {"model": "bert", "gone": 0.9, "runtime": name, "spread": "32x1"}
        for name in ("openvino", "onnx")
    ),
    *({"model": "mpnet", "gone": gone, "runtime": "openvino"} for gone in GONE),
    *({"model": "mpnet", "gone": g, "runtime": "openvino", "spread": "magnitude"} for g in GONE),
    *(
        {"model": "resnet50", "gone": gone, "runtime": runtime, "round_to": step}
        for runtime in RUNTIMES
        for gone in (0.3, 0.7)
        for step in (1, 16)
    ),
]


def measure(
    model: str,
    gone: float,
    runtime: str,
    round_to: int = 1,
    dtype: str = "float32",
    spread: str = "uniform",
    *,
    fixed: bool = False,
) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        dense = opened(model)
        pruned = cut(dense, gone, round_to, spread)
        for name, own in (("dense", dense), ("pruned", pruned)):
            prunus.save(own, f"{folder}/{name}")
        asked = Asked(
            runtime=runtime, dtype=dtype, batch=1, length=128, threads=1, pairs=15, fixed=fixed
        )
        found = bench(f"{folder}/dense", f"{folder}/pruned", asked, quiet=True)
    (cell,) = found.cells
    taken = cell.latency
    return {
        "dense_ms": taken.dense,
        "pruned_ms": taken.pruned,
        "speedup": taken.speedup,
        "speedup_iqr": taken.speedup_iqr,
        "ideal": taken.ideal,
        "efficiency": taken.speedup / taken.ideal,
        "peak_gflops": found.peak / 1e9,
        "share_of_peak": found.share(cell),
        "noisy": taken.noisy,
        "others": taken.others,
    }


@cache
def opened(name: str) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    if name == "bert":
        config = transformers.BertConfig()
        return transformers.BertForSequenceClassification(config).eval()
    if name == "mpnet":
        return prunus.load(MPNET, dtype=torch.float32).eval()
    return transformers.ResNetForImageClassification(transformers.ResNetConfig()).eval()


def cut(
    dense: transformers.PreTrainedModel, gone: float, round_to: int = 1, spread: str = "uniform"
) -> transformers.PreTrainedModel:
    """By magnitude: as much of every site, what matters least of all FLOPs, or zeros in blocks."""
    sites, budget = ("heads", "neurons"), {"metric": "units", "scope": "local"}
    if isinstance(dense, transformers.ResNetForImageClassification):
        sites = "channels"
    if spread == "magnitude":
        budget = {"of": "model"}
    if spread == "32x1":
        sites, budget = {"grid": spread, "match": ".*encoder.*"}, {"metric": "weights"}
    return prunus.prune(
        dense, [random_sample(dense, 128)], sites=sites, score="magnitude", select="greedy",
        recover=[], budget={"density": 1 - gone, "round_to": round_to, **budget},
    )  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    parts = sys.argv[1:]
    chosen = [c for c in CELLS if not parts or any(p in map(str, c.values()) for p in parts)]
    fill("exported", [c for c in chosen if c["model"] != "mpnet" or MPNET.is_dir()], measure)
