"""What layer-wise relevance costs: a pass of ``score: lrp`` over a step's forward plus backward.

    python benchmarks/lrp_overhead.py

ResNet-50 with random weights, images of 224 pixels, one thread, processor time. A plain forward and
backward pass and a scoring pass over all 53 convolutions take turns, and swap who goes first; the
ratio is the median of the pairs'. For an idle machine; half a minute.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from cells import fill

CELLS = [{"batch": 4, "pixels": 224, "pairs": 6}, {"batch": 32, "pixels": 64, "pairs": 6}]


def measure(batch: int, pixels: int, pairs: int) -> dict[str, Any]:
    """Seconds of both, and their ratio."""
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    classes: dict[str, Any] = {"num_labels": 100}
    model = ResNetForImageClassification(ResNetConfig(**classes)).eval()
    images = {
        "pixel_values": torch.randn(batch, 3, pixels, pixels),
        "labels": torch.randint(100, (batch,)),
    }
    plain, scored = [], []
    calls = [(plain, lambda: _step(model, images)), (scored, lambda: _score(model, images))]
    for _, call in calls:
        call()  # warm
    for pair in range(pairs):
        for taken, call in reversed(calls) if pair % 2 else calls:
            taken.append(_seconds(call))
    ratios = [b / a for a, b in zip(plain, scored, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 2),
        "worst": round(max(ratios), 2),
        "step_s": round(statistics.median(plain), 2),
        "lrp_s": round(statistics.median(scored), 2),
    }


def _step(model: Any, images: dict[str, Any]) -> None:
    model(**images).loss.backward()
    model.zero_grad()


def _score(model: Any, images: dict[str, Any]) -> None:
    from prunus.score import score
    from prunus.score.lrp import Lrp
    from prunus.site import Site, Slice

    sites = {}
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            part = Slice(f"{path}.weight", (0,), (1,))
            units = (module.out_channels,)
            sites[path] = Site(path, "channels", units, (part,), outlets={path: part})
    score(model, [images], sites, Lrp())


def _seconds(call: Callable[[], None]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


if __name__ == "__main__":
    torch.set_num_threads(1)
    fill("lrp_overhead", CELLS, measure)
