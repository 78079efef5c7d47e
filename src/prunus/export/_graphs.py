"""Which graphs a model is exported as, and what goes into them."""

import inspect
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from prunus.errors import PrunusError
from prunus.export._facts import Generates, Positions
from prunus.export._graph import Graph, Tensors, tensors_of
from prunus.export._language import decoder_graph, positions_of, translator_graphs

ROWS = 2
"""Rows of an example: axes of size one would be taken for constants."""
TEXTS = ("batch", "length")
AXES = {
    "pixel_values": ("batch",),
    "bool_masked_pos": ("batch",),
    "decoder_input_ids": ("batch", "decoder_length"),
    "decoder_attention_mask": ("batch", "decoder_length"),
    "encoder_hidden_states": ("batch", "source"),
    "encoder_attention_mask": ("batch", "source"),
}
CHOICES = ("batch", "choices", "length")


@dataclass(frozen=True)
class Graphs:
    """The graphs of a model.

    Attributes:
        parts: each becomes a file.
        generates: how they write texts together, where they do.
        positions: how the tokens of a decoder are counted.
    """

    parts: list[Graph]
    generates: Generates | None = None
    positions: Positions | None = None


class Whole(nn.Module):
    """A model in one forward pass, without a cache."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        takes = inspect.signature(model.forward).parameters
        self.fixed = {"use_cache": False} if "use_cache" in takes else {}

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Everything that the model answers but the loss."""
        return tensors_of(self.model(**inputs, **self.fixed, return_dict=True))


def graphs_of(model: PreTrainedModel, batch: Tensors) -> Graphs:
    """The graphs of a model, with inputs like those of a batch.

    Raises:
        PrunusError: the model does not take what the batch holds.
    """
    takes = inspect.signature(model.forward).parameters
    other = sorted(batch.keys() - takes.keys())
    if other:
        raise PrunusError(f"a {type(model).__name__} does not take {', '.join(other)}")
    config = model.config
    if config.is_encoder_decoder and type(model).__name__.endswith("ForSequenceClassification"):
        raise PrunusError(
            f"a {type(model).__name__} picks the states where texts end out of each batch, which"
            " exported graphs cannot; torch runs it (prunus eval, prunus bench), and encoders with"
            " such a head are exported"
        )
    batch = _two_rows(batch, model.dtype)
    axes = axes_of(batch)
    if model.can_generate() and config.is_encoder_decoder:
        return Graphs(translator_graphs(model, batch), "encoder-decoder")
    if model.can_generate() and not getattr(config, "add_cross_attention", False):
        how = positions_of(model, batch)
        known = how or "position_ids" not in takes
        made = decoder_graph(model, batch, how, axes) if known else None
        if made is not None:
            return Graphs([made], "decoder", how)
    return Graphs([Graph("model", Whole(model), batch, axes)])


def axes_of(batch: Tensors) -> dict[str, dict[int, str]]:
    """The axes of inputs whose sizes may change."""
    both = "pixel_values" in batch and "input_ids" in batch
    return {
        name: dict(enumerate(("images",) if both and name == "pixel_values" else _axes(name, own)))
        for name, own in batch.items()
    }


def _axes(name: str, tensor: Tensor) -> tuple[str, ...]:
    if name in AXES:
        return AXES[name]
    return CHOICES if tensor.dim() > len(TEXTS) else TEXTS[: tensor.dim()]


def _two_rows(batch: Tensors, dtype: torch.dtype) -> dict[str, Tensor]:
    """The first rows of a batch, twice where there is one alone; images in the model's dtype."""
    return {
        name: torch.cat([own] * ROWS)[:ROWS].to(dtype if own.is_floating_point() else own.dtype)
        for name, own in batch.items()
    }
