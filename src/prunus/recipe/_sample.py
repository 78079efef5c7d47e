"""Inputs for measurements that need no data."""

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from prunus.measure.target import require_positions

SIDE = 224
"""Pixels of an image, where a model's configuration says nothing of them."""


def random_sample(model: PreTrainedModel, length: int) -> dict[str, Tensor]:
    """One random sample for any model that reads text or images.

    Args:
        model: whose inputs it makes.
        length: tokens, where it reads text.

    Returns:
        {name: [1, ...]} inputs of a forward pass, without masks.

    Raises:
        PrunusError: it has no positions for so many tokens.
    """
    takes = inspect.signature(model.forward).parameters
    draw = torch.Generator().manual_seed(0)
    found = {}
    if "input_ids" in takes:
        require_positions(model, length)
        ids = _text(model.config, length, draw)
        if type(model).__name__.endswith("ForMultipleChoice"):
            ids = ids[:, None]
        found = {name: ids for name in ("input_ids", "decoder_input_ids") if name in takes}
    if "pixel_values" in takes:
        config: Any = getattr(model.config, "vision_config", model.config)
        side = getattr(config, "image_size", None) or SIDE
        shape = (1, config.num_channels, side, side)
        found["pixel_values"] = torch.randn(shape, generator=draw)
    return found


def _text(config: Any, length: int, draw: torch.Generator) -> Tensor:
    config = getattr(config, "text_config", config)
    ids = torch.randint(2, config.vocab_size, (1, length), generator=draw)
    end = config.eos_token_id
    if isinstance(end, int):  # some heads read at the end of the text, which must be there once
        ids = ids.masked_fill(ids == end, 2 if end != 2 else 3)
        ids[:, -1] = end
    return ids
