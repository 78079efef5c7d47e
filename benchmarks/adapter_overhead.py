"""What adapters cost: a training step beside that of peft's LoRA, inference once they are merged.

And blocks: forward and backward of one layer beside the plain layer that is trained as a whole,
and beside the sum of Kronecker products written out, as the published code does.

    python benchmarks/adapter_overhead.py

Random weights of ResNet-50's shapes (and of a small ViT's), images of 64 x 64, adapters on every
layer but the head, SGD, one thread, processor time. The two models take their steps side by side;
every pair swaps who goes first. In both of them biases, norms and the head are trained as well.
"""

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

from cells import fill

CELLS = [
    {"network": network, "method": method, "rank": rank, "pairs": 15, "batch": 8}
    for network, method in (("resnet", "splora"), ("resnet", "lora"), ("vit", "splora"))
    for rank in (8, 32)
]

LAYERS = [
    {
        "inputs": 768, "outputs": 3072, "tokens": 1024, "pairs": 15,
        "adapt": {"name": "splopa", "prototypes": count},
    }
    for count in (64, 128)
]  # fmt: skip


def measure(network: str, method: str, rank: int, pairs: int, batch: int) -> dict:
    import torch
    from peft import LoraConfig, get_peft_model

    from prunus.adapt import attach, freeze, merge, trained_parameters

    torch.set_num_threads(1)
    torch.manual_seed(0)
    dense = _network(network)
    inputs = {
        "pixel_values": torch.randn(batch, 3, 64, 64),
        "labels": torch.randint(0, 10, (batch,)),
    }
    ours = copy.deepcopy(dense)
    names = attach(ours, {"name": method, "rank": rank})
    learnt = freeze(ours)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=names)
    theirs: Any = get_peft_model(copy.deepcopy(dense), config)
    for name, own in theirs.named_parameters():
        plain = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
        own.requires_grad_("lora_" in name or plain in learnt)
    steps = [_step(model.train(), inputs) for model in (theirs, ours)]
    ratio, taken = _paired(steps, pairs)
    counts = trained_parameters(theirs), trained_parameters(ours)
    merge(ours)
    calls = [_call(model.eval(), inputs["pixel_values"]) for model in (dense, ours)]
    merged, _ = _paired(calls, pairs)
    return {
        "layers": len(names), "step": ratio, "peft_ms": taken[0], "prunus_ms": taken[1],
        "peft_parameters": counts[0], "prunus_parameters": counts[1], "merged": merged,
    }  # fmt: skip


def measure_layer(inputs: int, outputs: int, tokens: int, pairs: int, adapt: dict) -> dict:
    import torch
    from torch import nn

    from prunus.adapt import attach, freeze

    torch.set_num_threads(1)
    torch.manual_seed(0)
    plain = nn.Linear(inputs, outputs)
    ours: Any = nn.Sequential(copy.deepcopy(plain))
    attach(ours, {**adapt, "init_range": 0.1, "head": True})
    freeze(ours)
    x = torch.randn(tokens, inputs, requires_grad=True)
    own = ours[0].adapter
    error = (own.matrix() - _written_out(own)).abs().max().item()

    def slow(x: Any) -> Any:
        weight = ours[0].weight + _written_out(own)
        return nn.functional.linear(x, weight, ours[0].bias)

    def pass_of(call: Callable) -> Callable[[], None]:
        return lambda: call(x).square().mean().backward()

    ratio, taken = _paired([pass_of(plain), pass_of(ours)], pairs)
    written_out, _ = _paired([pass_of(plain), pass_of(slow)], 1)
    return {
        "ratio": ratio, "plain_ms": taken[0], "prunus_ms": taken[1],
        "written_out": written_out, "error": error,
    }  # fmt: skip


def _written_out(adapter: Any) -> Any:
    """[outputs, inputs]: all Kronecker products [n, outputs, inputs], and their sum."""
    import torch

    positions = adapter.positions.unflatten(1, adapter.grid)
    products = [torch.kron(*pair) for pair in zip(positions, adapter.blocks(), strict=True)]
    return torch.stack(products).sum(0)


def _network(name: str) -> Any:
    from transformers import (
        ResNetConfig,
        ResNetForImageClassification,
        ViTConfig,
        ViTForImageClassification,
    )

    if name == "resnet":
        return ResNetForImageClassification(ResNetConfig(num_labels=10))
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6}
    config = ViTConfig(**sizes, intermediate_size=1536, image_size=64, patch_size=8, num_labels=10)
    return ViTForImageClassification(config)


def _step(model: Any, inputs: dict) -> Callable[[], None]:
    import torch

    learnt = [own for own in model.parameters() if own.requires_grad]
    optimizer = torch.optim.SGD(learnt, lr=1e-3, momentum=0.9)

    def step() -> None:
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _call(model: Any, images: Any) -> Callable[[], None]:
    import torch

    def call() -> None:
        with torch.inference_mode():
            model(pixel_values=images)

    return call


def _paired(sides: list[Callable[[], None]], pairs: int) -> tuple[float, list[float]]:
    """(median ratio of the second to the first, median milliseconds of both)."""
    taken: list[list[float]] = [[], []]
    for pair in range(-2, pairs):
        for side in (0, 1) if pair % 2 else (1, 0):
            began = time.process_time()
            sides[side]()
            if pair >= 0:
                taken[side].append(1e3 * (time.process_time() - began))
    first, second = taken
    ratio = statistics.median(b / a for a, b in zip(first, second, strict=True))
    return ratio, [statistics.median(first), statistics.median(second)]


if __name__ == "__main__":
    fill("adapter_overhead", CELLS, measure)
    fill("adapter_layer", LAYERS, measure_layer)
