"""What each module's arithmetic costs: one dense pass under torch's flop counter."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from prunus.edit._answer import answer


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Eager attention while the block runs: the counter sees no work in the fused kernels."""
    config = getattr(model, "config", None)
    before = getattr(config, "_attn_implementation", None)
    if before is None:
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def work(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, int]:
    """FLOPs of every module's own operations, its children's left out.

    Args:
        model: any model, on the meta device too; matrix products and convolutions count, 2 FLOPs a
            multiply-add.
        batch: keyword arguments of one forward pass.

    Returns:
        {module name: FLOPs of this pass}, modules without work left out; "" is the model itself.
    """
    training = model.training
    counter = FlopCounterMode(display=False)
    try:
        model.eval()
        with torch.no_grad(), eager_attention(model), counter:
            answer(model, batch)
    finally:
        model.train(training)
    root = type(model).__name__
    totals = {
        name.removeprefix(root).removeprefix("."): sum(counts.values())
        for name, counts in counter.get_flop_counts().items()
        if name != "Global"
    }
    return {name: own for name, own in _own(totals).items() if own}


def flops(model: nn.Module, batch: Mapping[str, Tensor]) -> int:
    """FLOPs of one forward pass over ``batch``."""
    return sum(work(model, batch).values())


def single(batch: Mapping[str, Tensor], length: int | None = None) -> dict[str, Tensor]:
    """One sample of a batch without padding, its tokens repeated or cut to ``length``.

    Args:
        batch: {name: [sample, ...]}; names ending in ``ids`` or ``mask`` and labels are per token
            where they have two axes.
        length: tokens of the sample; None leaves it as long as it is.
    """
    sample = {}
    for name, tensor in batch.items():
        row = tensor[:1]
        if length is not None and row.dim() == 2:
            row = row.repeat(1, -(-length // row.shape[1]))[:, -length:]  # heads may read the end
        sample[name] = torch.ones_like(row) if name.endswith("attention_mask") else row
    return sample


def _own(totals: Mapping[str, int]) -> dict[str, int]:
    own = dict(totals)
    for name, total in totals.items():
        if name:
            parent = name
            while parent and (parent := parent.rpartition(".")[0]) not in totals:
                pass
            own[parent] = own.get(parent, 0) - total
    return own
