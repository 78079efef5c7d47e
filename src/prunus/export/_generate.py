"""Exported models that write texts, by transformers' own search over sessions with a cache."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, GenerationMixin
from transformers.cache_utils import Cache
from transformers.utils.generic import ModelOutput

from prunus.errors import PrunusError
from prunus.export._cache import CROSS, PAST, PRESENT, filled, flat
from prunus.export._exported import Exported
from prunus.export._language import positions


class Generating(Exported, GenerationMixin):
    """A model that writes texts.

    Attributes:
        generation_config: what the search does where it is not told otherwise.
    """

    generation_config: GenerationConfig
    base_model_prefix = ""
    _is_stateful = False

    def is_remote_code(self) -> bool:
        """Its code is not the checkpoint's."""
        return False

    def get_experts_implementation(self) -> None:
        """It has no experts whose code could be chosen."""

    def can_generate(self) -> bool:
        """It does."""
        return True

    def _past(self, graph: str, cache: Cache | None, rows: int) -> dict[str, Tensor]:
        """What a graph reads of the past, which is empty in the first step."""
        ports = self.facts.graphs[graph].inputs
        held = {} if cache is None else flat(_whole(cache), PAST)
        return held or {
            name: torch.zeros(rows, port.axes[1], 0, port.axes[3])  # pyright: ignore
            for name, port in ports.items()
            if name.startswith(PAST)
        }


class GeneratingDecoder(Generating):
    """A decoder: each step reads its tokens and the past."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        **others: Any,
    ) -> ModelOutput:
        """Logits, and the past with these tokens unless ``use_cache`` is False."""
        rows, tokens = input_ids.shape
        past = self._past("model", past_key_values, rows)
        total = tokens + _tokens(past)
        mask = input_ids.new_ones(rows, total) if attention_mask is None else attention_mask
        given = {"input_ids": input_ids, "attention_mask": mask, **past, **others}
        if self.facts.positions is not None:
            told = positions(self.facts.positions, mask, tokens)
            given["position_ids"] = told if position_ids is None else position_ids
        return _with_cache(self._run("model", given), use_cache)


class GeneratingEncoderDecoder(Generating):
    """An encoder, and a decoder each step of which reads the encoder's keys and values."""

    def get_encoder(self) -> nn.Module:
        """What is run once for a text."""
        return _EncoderOf(self)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: Mapping[str, Tensor] | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        **others: Any,
    ) -> ModelOutput:
        """Logits of the decoder's tokens, the encoder's states, and the past.

        Raises:
            PrunusError: the tokens of the decoder, or of the encoder, are missing.
        """
        if decoder_input_ids is None or (input_ids is None and encoder_outputs is None):
            raise PrunusError(
                f"the exported {self.facts.architecture} needs decoder_input_ids, and input_ids or"
                " what the encoder made of them"
            )
        read = encoder_outputs or self._run(
            "encoder", {"input_ids": input_ids, "attention_mask": attention_mask}
        )
        states = read["last_hidden_state"]
        rows, tokens = decoder_input_ids.shape
        past = self._past("decoder", past_key_values, rows)
        total, ones = tokens + _tokens(past), decoder_input_ids.new_ones
        given = {
            "decoder_input_ids": decoder_input_ids,
            "decoder_attention_mask": ones(rows, total)
            if decoder_attention_mask is None
            else decoder_attention_mask,
            "encoder_attention_mask": ones(states.shape[:2])
            if attention_mask is None
            else attention_mask,
            **{name: own for name, own in read.items() if name.startswith(CROSS)},
            **past,
            **others,
        }
        out = _with_cache(self._run("decoder", given), use_cache)
        out["encoder_last_hidden_state"] = states
        return out


class _EncoderOf(nn.Module):
    """The encoder alone, as the search calls it."""

    def __init__(self, owner: GeneratingEncoderDecoder) -> None:
        super().__init__()
        self._run = owner._run

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> ModelOutput:
        """Its states, and what the decoder's attentions make of them."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        return ModelOutput(self._run("encoder", given))


def _with_cache(answer: Mapping[str, Tensor], use_cache: bool | None) -> ModelOutput:
    """The past in one object, where it is wanted."""
    out = ModelOutput({k: v for k, v in answer.items() if not k.startswith(PRESENT)})
    if use_cache is not False:
        out["past_key_values"] = filled(answer, PRESENT)
    return out


def _whole(cache: Cache) -> Cache:
    return getattr(cache, "self_attention_cache", cache)


def _tokens(past: Mapping[str, Tensor]) -> int:
    return next(iter(past.values())).shape[2] if past else 0
