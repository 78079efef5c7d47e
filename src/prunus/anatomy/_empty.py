"""Modules from which every head or input is gone: the same outputs, without the work."""

from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.cache_utils import EncoderDecoderCache

CROSS = ("key_value_states", "encoder_hidden_states")
"""Arguments that attentions to another sequence get, whose cache counts none of the tokens."""


class Empty(nn.Module):
    """Mixin put before an attention class: no heads, so only what the projection adds stays."""

    out: ClassVar[str] = ""

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        """[batch, tokens, width] to what an attention without heads gives.

        Returns:
            The output projection of nothing (its bias), or [batch, tokens, 0] where another
            module projects; and no attention weights.
        """
        if not any(kwargs.get(name) is not None for name in CROSS):
            hold_place(self, hidden_states, kwargs.get("past_key_values"))
        heads = hidden_states.new_zeros(*hidden_states.shape[:-1], 0)
        return (getattr(self, self.out)(heads) if self.out else heads), None


class EmptyProjecting(Empty):
    """An empty attention that owns its output projection ``o_proj``."""

    out: ClassVar[str] = "o_proj"


class NoInputs(nn.Module):
    """Mixin: a transposed projection that can lose all its inputs; the stock one must have some."""

    weight: Tensor
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]; without inputs, the bias."""
        rows = x.reshape(prod(x.shape[:-1]), x.shape[-1])
        return torch.addmm(self.bias, rows, self.weight).view(*x.shape[:-1], len(self.bias))


def hold_place(module: nn.Module, hidden_states: Tensor, cache: Any) -> int:
    """Let a cache count the tokens of an empty layer, since positions are read off its length.

    Returns:
        How many keys an attention here would see: the tokens, with those in the cache.
    """
    if isinstance(cache, EncoderDecoderCache):
        cache = cache.self_attention_cache
    batch, tokens = hidden_states.shape[:2]
    if cache is None:
        return tokens
    place = hidden_states.new_zeros(batch, 1, tokens, 1)
    return cache.update(place, place, module.layer_idx)[0].shape[-2]
