"""The graphs of models that write texts: each step reads keys and values of the steps before."""

import inspect
from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from prunus.export._cache import CROSS, PAST, PRESENT, empty, filled, flat
from prunus.export._facts import Positions
from prunus.export._graph import Graph, Tensors, tensors_of

LONG = 3
"""Tokens of the past in an example."""


def positions(how: Positions, mask: Tensor, tokens: int) -> Tensor:
    """The positions that models give to tokens where they are not told them.

    Args:
        how: ``places`` counts all tokens, ``mask`` those alone that the mask lets through.
        mask: ``[row, past + token]``.
        tokens: how many of the last ones are asked for.

    Returns:
        ``[row, token]`` int64.
    """
    every = torch.ones_like(mask).cumsum(1) if how == "places" else mask.cumsum(1) * mask
    return (every - 1)[:, mask.shape[1] - tokens :]


def positions_of(model: PreTrainedModel, batch: Tensors) -> Positions | None:
    """How a decoder counts positions, found on a text padded on the left; None: in no such way."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return None
    ids = batch["input_ids"][:1]
    mask = torch.ones_like(ids).index_fill(1, torch.tensor([0]), 0)
    given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    with torch.no_grad():
        right = model(**given).logits[:, 1:]
        for how in get_args(Positions):
            try:
                told = positions(how, mask, ids.shape[1])
                said = model(**given, position_ids=told).logits[:, 1:]
            except (IndexError, RuntimeError):  # it has no position -1
                continue
            if torch.allclose(said, right, rtol=1e-4, atol=1e-5):
                return how
    return None


class Decoder(nn.Module):
    """One step of a decoder: tokens and the past, to logits and the past with these tokens."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Logits ``[row, token, word]``, and keys and values ``present.LAYER.key``."""
        cache = filled(inputs, PAST)
        read = {name: own for name, own in inputs.items() if not name.startswith(PAST)}
        out = self.model(**read, past_key_values=cache, use_cache=True, return_dict=True)
        return tensors_of(out) | flat(cache, PRESENT)


class Encoder(nn.Module):
    """An encoder, with the keys and values that the decoder's attentions make of its states."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """``last_hidden_state`` ``[row, token, width]``, ``cross_key_values.LAYER.key``."""
        inner: Any = self.model.get_encoder()
        states = inner(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        cache = EncoderDecoderCache(empty(), empty())
        self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=attention_mask,
            decoder_input_ids=input_ids[:, :1] * 0,
            past_key_values=cache,
            use_cache=True,
        )
        return {"last_hidden_state": states} | flat(cache.cross_attention_cache, CROSS)


class StepAfter(nn.Module):
    """One step of a decoder that attends to an encoder, whose keys and values are given."""

    def __init__(self, model: PreTrainedModel, width: int) -> None:
        super().__init__()
        self.model, self.width = model, width

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Logits ``[row, token, word]``, and keys and values ``present.LAYER.key``."""
        past, cross = filled(inputs, PAST), filled(inputs, CROSS)
        mask = inputs["encoder_attention_mask"]
        unread = mask.new_zeros(*mask.shape, self.width, dtype=self.model.dtype)
        out = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=unread),
            attention_mask=mask,
            decoder_input_ids=inputs["decoder_input_ids"],
            decoder_attention_mask=inputs["decoder_attention_mask"],
            past_key_values=EncoderDecoderCache(past, cross),
            use_cache=True,
            return_dict=True,
        )
        return {"logits": out.logits} | flat(past, PRESENT)


def decoder_graph(
    model: PreTrainedModel, batch: Tensors, how: Positions | None, axes: Any
) -> Graph | None:
    """The graph of a decoder that fills a cache; None for one that does not."""
    with torch.no_grad():
        past = _past(model(**batch, use_cache=True).get("past_key_values"))
    if not past:
        return None
    mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
    example = {**batch, "attention_mask": _longer(mask)} | past
    axes = {**axes, "attention_mask": {0: "batch", 1: "total"}, **_axes(past, "past")}
    if how:
        example["position_ids"] = positions(how, example["attention_mask"], mask.shape[1])
        axes["position_ids"] = axes["input_ids"]
    return Graph("model", Decoder(model), example, axes)


def translator_graphs(model: PreTrainedModel, batch: Tensors) -> list[Graph]:
    """The graphs of an encoder, and of the decoder that reads it."""
    read = {name: batch[name] for name in ("input_ids", "attention_mask") if name in batch}
    read.setdefault("attention_mask", torch.ones_like(read["input_ids"]))
    begun = batch.get("decoder_input_ids", read["input_ids"])
    encoder = Encoder(model)
    with torch.no_grad():
        out = model(**read, decoder_input_ids=begun, use_cache=True)
        states, cross = _split(encoder(**read))
    past = _past(out.past_key_values.self_attention_cache)
    example = {
        "decoder_input_ids": begun,
        "decoder_attention_mask": _longer(torch.ones_like(begun)),
        "encoder_attention_mask": read["attention_mask"],
        **cross,
        **past,
    }
    axes = {
        "decoder_input_ids": {0: "batch", 1: "decoder_length"},
        "decoder_attention_mask": {0: "batch", 1: "total"},
        "encoder_attention_mask": {0: "batch", 1: "length"},
        **_axes(cross, "length"),
        **_axes(past, "past"),
    }
    text = {name: {0: "batch", 1: "length"} for name in read}
    after = StepAfter(model, states.shape[-1])
    return [Graph("encoder", encoder, read, text), Graph("decoder", after, example, axes)]


def _past(cache: DynamicCache | None) -> dict[str, Tensor]:
    """An example of the past: what a cache holds, cut or repeated to some tokens."""
    if cache is None:
        return {}
    return {
        name: torch.cat([own] * LONG, 2)[:, :, :LONG] for name, own in flat(cache, PAST).items()
    }


def _longer(mask: Tensor) -> Tensor:
    """A mask of the past as well."""
    return torch.cat([mask.new_ones(len(mask), LONG), mask], 1)


def _axes(tensors: Tensors, called: str) -> Mapping[str, Mapping[int, str]]:
    return {name: {0: "batch", 2: called} for name in tensors}


def _split(answer: Tensors) -> tuple[Tensor, dict[str, Tensor]]:
    cross = {name: own for name, own in answer.items() if name.startswith(CROSS)}
    return answer["last_hidden_state"], cross
