"""Tiny random models of every family: widths drawn at random, weights far from their defaults."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

VOCAB = 50


def _bert(heads: int = 4, layers: int = 2, **more: object) -> BertConfig:
    return BertConfig(
        vocab_size=VOCAB, hidden_size=8 * heads, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=24, max_position_embeddings=32, **more,
    )  # fmt: skip


def _t5(heads: int = 4, layers: int = 2, **more: object) -> T5Config:
    return T5Config(
        vocab_size=VOCAB, d_model=24, d_kv=6, d_ff=20, num_layers=layers, num_heads=heads,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, relative_attention_num_buckets=8,
        **more,
    )  # fmt: skip


def _llama(heads: int = 6, groups: int = 3, layers: int = 2, **more: object) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCAB, hidden_size=24, intermediate_size=20, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=groups, head_dim=8, pad_token_id=0, **more,
    )  # fmt: skip


def _vit(heads: int = 4, layers: int = 2, **more: object) -> ViTConfig:
    return ViTConfig(
        hidden_size=8 * heads, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=24, image_size=16, patch_size=8, num_labels=3, **more,
    )  # fmt: skip


CONFIGS = {"bert": _bert, "t5": _t5, "llama": _llama, "vit": _vit}
HEADS = {
    "bert": BertForSequenceClassification,
    "t5": T5ForConditionalGeneration,
    "llama": LlamaForCausalLM,
    "vit": ViTForImageClassification,
}


def tiny(
    family: str, cls: type[PreTrainedModel] | None = None, seed: int = 0, **config: object
) -> PreTrainedModel:
    """A random model of a family; every parameter is away from 0 and 1, biases and norms too."""
    torch.manual_seed(seed)
    model = (cls or HEADS[family])(CONFIGS[family](**config)).eval()
    return scramble(model)


def scramble(model: PreTrainedModel) -> PreTrainedModel:
    """Random values for every parameter, of a size at which every part of the model matters."""
    for name, parameter in model.named_parameters():
        near = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        spread = 0.5 if parameter.dim() == 1 else 2.0 / parameter.shape[-1] ** 0.5
        nn.init.normal_(parameter, near, 0.3 if near else spread)
    return model


def batch_of(model: PreTrainedModel, size: int = 3, length: int = 7, seed: int = 0) -> dict[str, Tensor]:
    """A random batch, the last sample padded where the model reads text; labels for the task."""
    torch.manual_seed(seed)
    family = model.config.model_type.removeprefix("prunus_")
    if family == "vit":
        side = model.config.image_size
        return {"pixel_values": torch.randn(size, 3, side, side), "labels": torch.randint(3, (size,))}
    ids = torch.randint(3, VOCAB, (size, length))
    attention = torch.ones_like(ids)
    attention[-1, length - 2 :] = 0
    batch = {"input_ids": ids, "attention_mask": attention}
    name = type(model).__name__
    if "ConditionalGeneration" in name:
        batch["labels"] = torch.randint(3, VOCAB, (size, length - 2))
    elif "CausalLM" in name or "MaskedLM" in name:
        batch["labels"] = ids.masked_fill(attention == 0, -100)
    elif "SequenceClassification" in name:
        batch["labels"] = torch.randint(model.config.num_labels, (size,))
    return batch


def outputs(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
    """The logits, or the last hidden state of a model without a head."""
    with torch.no_grad():
        out = model(**batch)
    return out.logits if "logits" in out else out.last_hidden_state


__all__ = ["BertForMaskedLM", "batch_of", "outputs", "scramble", "tiny"]
