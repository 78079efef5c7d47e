"""Masks of attention that every runtime can read."""

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from torch import Tensor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask

KERNEL = "sdpa"


def reading_something() -> AbstractContextManager[Any]:
    """Let tokens that may read none, padding on the left, read all while the block runs.

    Nobody reads them. torch's softmax of nothing is nothing; elsewhere it is no number, and what is
    no number stays so when it is multiplied by the zeros of a mask.
    """
    return patch.dict(ALL_MASK_ATTENTION_FUNCTIONS._local_mapping, {KERNEL: _mask})


def _mask(*args: Any, **kwargs: Any) -> Tensor | None:
    mask = sdpa_mask(*args, **kwargs)
    return None if mask is None else mask | ~mask.any(-1, keepdim=True)
