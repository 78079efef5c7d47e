"""Inputs for measurements that need no data."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prunus.measure.target import require_positions
from prunus.task._pixels import IMAGENET, pixels_of

SIDE = 224
"""Pixels of a side where neither a model nor the processor beside it says how many."""


def random_sample(model: PreTrainedModel, length: int, rows: int = 1) -> dict[str, Tensor]:
    """Random samples for any model that reads text or images.

    Args:
        model: whose inputs it makes.
        length: tokens, where it reads text.
        rows: how many samples.

    Returns:
        {name: [row, ...]} inputs of a forward pass, without masks.

    Raises:
        PrunusError: it has no positions for so many tokens.
    """
    takes = inspect.signature(model.forward).parameters
    draw = torch.Generator().manual_seed(0)
    found = {}
    if "input_ids" in takes:
        require_positions(model, length)
        ids = _text(model.config, (rows, length), draw)
        if type(model).__name__.endswith("ForMultipleChoice"):
            ids = ids[:, None]
        found = {name: ids for name in ("input_ids", "decoder_input_ids") if name in takes}
    if "pixel_values" in takes:
        config: Any = getattr(model.config, "vision_config", model.config)
        shape = (rows, config.num_channels, *_size(config, model.name_or_path or ""))
        found["pixel_values"] = torch.randn(shape, generator=draw)
    return found


def _size(config: Any, where: str) -> Sequence[int]:
    """Rows and columns of pixels: a network of convolutions alone takes any, so others say."""
    size = getattr(config, "image_size", None)
    if size is None:
        size = pixels_of(where, SIDE, *IMAGENET).size if where and Path(where).is_dir() else SIDE
    return (size, size) if isinstance(size, int) else size


def _text(config: Any, shape: tuple[int, int], draw: torch.Generator) -> Tensor:
    config = getattr(config, "text_config", config)
    ids = torch.randint(2, config.vocab_size, shape, generator=draw)
    end = config.eos_token_id
    if isinstance(end, int):  # some heads read at the end of the text, which must be there once
        ids = ids.masked_fill(ids == end, 2 if end != 2 else 3)
        ids[:, -1] = end
    return ids
