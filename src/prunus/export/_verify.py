"""How far an export's answers are from torch's."""

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from prunus.errors import PrunusError
from prunus.export._graph import Tensors, tensors_of

BOUND = 1e-4
"""Of the largest difference in float32, relative to the largest answer."""

NEW = 8
"""Tokens that are generated for comparison."""


def far(model: nn.Module, exported: nn.Module, batches: Iterable[Tensors]) -> tuple[float, int]:
    """The largest relative difference of two models' answers to batches and to their first rows.

    Returns:
        max abs(a - b) / max abs(a) over torch's answers a, the largest, and on how many examples.

    Raises:
        PrunusError: the export gives no such answer, or one of another shape.
    """
    worst, samples = 0.0, 0
    for batch in batches:
        for part in _sizes(batch):
            worst = max(worst, *_differences(model, exported, part))
        samples += len(next(iter(batch.values())))
    return worst, samples


def says_the_same(model: Any, exported: Any, batch: Tensors) -> bool:
    """Whether both go on with the same tokens, greedily, after half of a batch's first row."""
    ids = batch["input_ids"][:1, : max(1, batch["input_ids"].shape[1] // 2)]
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    pad = model.config.get_text_config().pad_token_id or 0
    how = {"do_sample": False, "num_beams": 1, "max_new_tokens": NEW, "pad_token_id": pad}
    return torch.equal(model.generate(**given, **how), exported.generate(**given, **how))


def _sizes(batch: Tensors) -> Iterator[Tensors]:
    """A batch, and its first row alone."""
    yield batch
    if len(next(iter(batch.values()))) > 1:
        yield {name: own[:1] for name, own in batch.items()}


def _differences(model: nn.Module, exported: nn.Module, batch: Tensors) -> Iterator[float]:
    with torch.no_grad():
        right, said = tensors_of(model(**batch)), tensors_of(exported(**batch))
    for name, own in right.items():
        yield _difference(name, own, said, _unread(own, batch))


def _unread(answer: Tensor, batch: Tensors) -> Tensor | None:
    """``[row, token]`` bool: padding on the left, of which nobody reads an answer."""
    mask = batch.get("attention_mask")
    return None if mask is None or answer.shape[:2] != mask.shape else mask.cumsum(1) == 0


def _difference(
    name: str, right: Tensor, said: Mapping[str, Tensor], unread: Tensor | None
) -> float:
    if name not in said or said[name].shape != right.shape:
        got = tuple(said[name].shape) if name in said else "nothing"
        raise PrunusError(f"the export gives {got} for {name!r}, torch {tuple(right.shape)}")
    if not right.numel():
        return 0.0
    scale = right.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    apart = (said[name].float() - right.float()).abs().nan_to_num(inf)
    return float((apart if unread is None else apart[~unread]).max() / scale)
