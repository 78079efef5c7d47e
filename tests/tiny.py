"""Tiny random models of every family and task head: any widths, weights far from their defaults."""

import re
from collections.abc import Mapping
from functools import cache, partial

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    BartConfig,
    BertConfig,
    CLIPConfig,
    CLIPTextConfig,
    CLIPVisionConfig,
    DebertaV2Config,
    DeiTConfig,
    DistilBertConfig,
    ElectraConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MarianConfig,
    MistralConfig,
    MPNetConfig,
    OPTConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    T5Config,
    ViTConfig,
    XLMRobertaConfig,
)
from transformers.models.auto import modeling_auto

VOCAB = 50
NORM = re.compile(r"norm|\bln_", re.IGNORECASE)
EOS = 1


def _bert(
    heads: int = 4, layers: int = 2, width: int = 0, made: type = BertConfig, **more: object
) -> PretrainedConfig:
    sizes = {
        "vocab_size": VOCAB, "hidden_size": width or 8 * heads, "num_hidden_layers": layers,
        "num_attention_heads": heads, "intermediate_size": 24, "max_position_embeddings": 32,
        "num_labels": 3,
    }  # fmt: skip
    return made(**{**sizes, **more})


def _distilbert(
    heads: int = 4, layers: int = 2, width: int = 0, **more: object
) -> DistilBertConfig:
    sizes = {
        "vocab_size": VOCAB, "dim": width or 8 * heads, "n_layers": layers, "n_heads": heads,
        "hidden_dim": 24, "max_position_embeddings": 32, "num_labels": 3,
    }  # fmt: skip
    return DistilBertConfig(**{**sizes, **more})


def _t5(heads: int = 4, layers: int = 2, **more: object) -> T5Config:
    sizes = {
        "vocab_size": VOCAB, "d_model": 24, "d_kv": 6, "d_ff": 20, "num_layers": layers,
        "num_heads": heads, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": EOS,
        "relative_attention_num_buckets": 8, "num_labels": 3,
    }  # fmt: skip
    return T5Config(**{**sizes, **more})


def _llama(
    heads: int = 6, groups: int = 3, layers: int = 2, made: type = LlamaConfig, **more: object
) -> PretrainedConfig:
    sizes = {
        "vocab_size": VOCAB, "hidden_size": 4 * heads, "intermediate_size": 20, "head_dim": 8,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": groups,
        "max_position_embeddings": 64, "pad_token_id": 0, "num_labels": 3,
    }  # fmt: skip
    return made(**{**sizes, **more})


def _gpt2(heads: int = 4, layers: int = 2, width: int = 0, **more: object) -> GPT2Config:
    sizes = {
        "vocab_size": VOCAB, "n_embd": width or 8 * heads, "n_layer": layers, "n_head": heads,
        "n_inner": 24, "n_positions": 32, "num_labels": 3, "pad_token_id": 0, "bos_token_id": 2,
        "eos_token_id": EOS,
    }  # fmt: skip
    return GPT2Config(**{**sizes, **more})


def _opt(heads: int = 4, layers: int = 2, width: int = 0, **more: object) -> OPTConfig:
    sizes = {
        "vocab_size": VOCAB, "hidden_size": width or 8 * heads, "num_hidden_layers": layers,
        "num_attention_heads": heads, "ffn_dim": 24, "max_position_embeddings": 32,
        "word_embed_proj_dim": width or 8 * heads, "num_labels": 3, "pad_token_id": 0,
        "bos_token_id": 2, "eos_token_id": EOS,
    }  # fmt: skip
    return OPTConfig(**{**sizes, **more})


def _bart(
    heads: int = 4, layers: int = 2, width: int = 0, made: type = BartConfig, **more: object
) -> PretrainedConfig:
    sizes = {
        "vocab_size": VOCAB, "d_model": width or 8 * heads, "num_labels": 3, "pad_token_id": 0,
        "bos_token_id": 2, "eos_token_id": EOS, "decoder_start_token_id": 0,
        "forced_eos_token_id": None, "max_position_embeddings": 32,
    }  # fmt: skip
    for side in ("encoder", "decoder"):
        own = {"layers": layers, "attention_heads": heads, "ffn_dim": 24}
        sizes |= {f"{side}_{name}": size for name, size in own.items()}
    return made(**{**sizes, **more})


def _vit(
    heads: int = 4, layers: int = 2, made: type = ViTConfig, **more: object
) -> PretrainedConfig:
    sizes = {
        "hidden_size": 8 * heads, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": 24, "image_size": 16, "patch_size": 8, "encoder_stride": 8,
        "num_labels": 3,
    }  # fmt: skip
    return made(**{**sizes, **more})


def _deberta(heads: int = 4, **more: object) -> PretrainedConfig:
    positions = {
        "relative_attention": True, "share_att_key": True, "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm", "position_buckets": 4, "position_biased_input": False,
    }  # fmt: skip
    return _bert(heads, made=DebertaV2Config, **{**positions, **more})


def _clip_text(heads: int = 4, **more: object) -> PretrainedConfig:
    return _bert(heads, made=CLIPTextConfig, **{"eos_token_id": EOS, "pad_token_id": 0, **more})


def _clip_vision(heads: int = 4, **more: object) -> PretrainedConfig:
    return _vit(heads, made=CLIPVisionConfig, **more)


def _clip(heads: int = 4, layers: int = 2, **more: object) -> CLIPConfig:
    sizes = {
        "text_config": _clip_text(heads, layers=layers + 1).to_dict(), "projection_dim": 12,
        "vision_config": _clip_vision(2 * heads, layers=layers).to_dict(), "num_labels": 3,
    }  # fmt: skip
    return CLIPConfig(**{**sizes, **more})


CONFIGS = {
    "bert": _bert,
    "t5": _t5,
    "llama": _llama,
    "vit": _vit,
    "distilbert": _distilbert,
    "roberta": partial(_bert, made=RobertaConfig),
    "xlm_roberta": partial(_bert, made=XLMRobertaConfig),
    "mpnet": partial(_bert, made=MPNetConfig),
    "electra": partial(_bert, made=ElectraConfig, embedding_size=16),
    "deberta_v2": _deberta,
    "deit": partial(_vit, made=DeiTConfig),
    "clip": _clip,
    "clip_text_model": _clip_text,
    "clip_vision_model": _clip_vision,
    "gpt2": _gpt2,
    "opt": _opt,
    "qwen2": partial(_llama, made=Qwen2Config),
    "qwen3": partial(_llama, made=Qwen3Config),
    "mistral": partial(_llama, made=MistralConfig),
    "gemma": partial(_llama, made=GemmaConfig),
    "bart": _bart,
    "marian": partial(_bart, made=MarianConfig),
}
HEADS = {
    "bert": transformers.BertForSequenceClassification,
    "t5": transformers.T5ForConditionalGeneration,
    "llama": transformers.LlamaForCausalLM,
    "vit": transformers.ViTForImageClassification,
    "distilbert": transformers.DistilBertForSequenceClassification,
    "roberta": transformers.RobertaForSequenceClassification,
    "xlm_roberta": transformers.XLMRobertaForSequenceClassification,
    "mpnet": transformers.MPNetForSequenceClassification,
    "electra": transformers.ElectraForSequenceClassification,
    "deberta_v2": transformers.DebertaV2ForSequenceClassification,
    "deit": transformers.DeiTForImageClassification,
    "clip": transformers.CLIPForImageClassification,
    "clip_text_model": transformers.CLIPTextModel,
    "clip_vision_model": transformers.CLIPVisionModel,
    "gpt2": transformers.GPT2LMHeadModel,
    "opt": transformers.OPTForCausalLM,
    "qwen2": transformers.Qwen2ForCausalLM,
    "qwen3": transformers.Qwen3ForCausalLM,
    "mistral": transformers.MistralForCausalLM,
    "gemma": transformers.GemmaForCausalLM,
    "bart": transformers.BartForConditionalGeneration,
    "marian": transformers.MarianMTModel,
}
DECODERS = (
    "BertLMHeadModel", "RobertaForCausalLM", "XLMRobertaForCausalLM", "ElectraForCausalLM",
    "GPT2LMHeadModel",
)  # fmt: skip
"""Language models that may, or may not, attend to another sequence."""
HALVES = ("BartForCausalLM", "MarianForCausalLM")
"""The decoders of encoder-decoder models, which always do."""
GROUPED = ("llama", "qwen2", "qwen3", "mistral", "gemma")
"""Families in which several query heads share one key-value head."""
FAMILIES = tuple(CONFIGS)


@cache
def auto_heads(family: str) -> dict[str, tuple[str, ...]]:
    """{model class: the Auto classes that open it}, everything transformers has of a family."""
    config = type(CONFIGS[family]())
    found: dict[str, tuple[str, ...]] = {}
    for name, auto in vars(modeling_auto).items():
        mapping = getattr(auto, "_model_mapping", None) if isinstance(auto, type) else None
        models = None if mapping is None else mapping.get(config, None)
        for cls in models if isinstance(models, tuple) else [models] if models else []:
            if cls.config_class is config:  # not another model built around this one
                found[cls.__name__] = (*found.get(cls.__name__, ()), name)
    return found


def tiny(
    family: str, cls: type[PreTrainedModel] | str | None = None, seed: int = 0, **config: object
) -> PreTrainedModel:
    """A random model of a family; every parameter is away from 0 and 1, biases and norms too.

    Args:
        family: one of ``FAMILIES``.
        cls: a model class or its name; the family's usual task head where it is left out.
        seed: of the weights.
        **config: heads, layers, groups (Llama), and anything that the configuration knows.
    """
    torch.manual_seed(seed)
    stock = getattr(transformers, cls) if isinstance(cls, str) else cls or HEADS[family]
    return scramble(stock(CONFIGS[family](**{**_needs(stock.__name__), **config})).eval())


def _needs(head: str) -> dict[str, object]:
    """What a head wants of its configuration."""
    if "QuestionAnswering" in head:
        return {"num_labels": 2}
    if head in HALVES:
        return {"add_cross_attention": True}
    return {"is_decoder": True} if head in DECODERS else {}


def scramble(model: PreTrainedModel) -> PreTrainedModel:
    """Random values for every parameter, of a size at which every part of the model matters."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # computed, and so not saved
            continue
        near = 1.0 if NORM.search(name) and name.endswith("weight") else 0.0
        spread = 0.5 if parameter.dim() < 2 else parameter.shape[-1] ** -0.5
        nn.init.normal_(parameter, near, 0.3 if near else spread)
    return model


def family_of(config: PretrainedConfig) -> str:
    """The entry of ``FAMILIES`` that a configuration belongs to, whether pruned or not."""
    return config.model_type.removeprefix("prunus_").replace("-", "_")


def batch_of(
    model: PreTrainedModel, size: int = 3, length: int = 7, seed: int = 0
) -> dict[str, Tensor]:
    """A random batch, its last sample padded where the model reads text; labels for the task."""
    torch.manual_seed(seed)
    head = type(model).__name__.removeprefix("Prunus")
    if model.main_input_name == "pixel_values":
        return _images(model, head, size)
    ids = torch.randint(3, VOCAB, (size, length))
    attention = torch.ones_like(ids)
    attention[-1, length - 2 :] = 0
    if head.startswith(("T5", "Bart", "CLIP")):
        ids[:, -3] = EOS
    ids = ids.masked_fill(attention == 0, model.config.get_text_config().pad_token_id)
    if "MultipleChoice" in head:
        choices = [torch.stack([x, x.roll(1, 0)], 1) for x in (ids, attention)]
        ids, attention = choices
    batch = {"input_ids": ids, "attention_mask": attention}
    if getattr(model.config, "add_cross_attention", False):
        width = model.config.hidden_size
        batch["encoder_hidden_states"] = torch.randn(size, length + 2, width)
        batch["encoder_attention_mask"] = torch.ones(size, length + 2).tril(length).long()
    if hasattr(model.config, "vision_config"):
        batch |= _images(model, head, size)
    return batch | _targets(model, head, ids, attention)


def _images(model: PreTrainedModel, head: str, size: int) -> dict[str, Tensor]:
    config = getattr(model.config, "vision_config", model.config)
    side = config.image_size
    batch = {"pixel_values": torch.randn(size, 3, side, side)}
    patches = (side // config.patch_size) ** 2
    if "MaskedImage" in head:
        return batch | {"bool_masked_pos": torch.arange(patches).expand(size, patches) % 2 == 0}
    if head.endswith("ForImageClassification"):
        return batch | {"labels": torch.randint(model.config.num_labels, (size,))}
    return batch


def _targets(
    model: PreTrainedModel, head: str, ids: Tensor, attention: Tensor
) -> dict[str, Tensor]:
    size, classes = len(ids), model.config.num_labels
    if "ConditionalGeneration" in head or "MTModel" in head:
        labels = torch.randint(3, VOCAB, (size, ids.shape[1] - 2))
        labels[-1, -1] = -100
        return {"labels": labels}
    if any(name in head for name in ("CausalLM", "MaskedLM", "LMHead")):
        return {"labels": ids.masked_fill(attention == 0, -100)}
    if "SequenceClassification" in head:
        return {"labels": torch.randint(classes, (size,))}
    if "TokenClassification" in head:
        return {"labels": torch.randint(classes, ids.shape).masked_fill(attention == 0, -100)}
    if "MultipleChoice" in head or "NextSentence" in head:
        return {"labels": torch.randint(2, (size,))}
    if head in ("T5Model", "BartModel", "MarianModel"):
        return {"decoder_input_ids": ids.roll(1, 1)}
    return {}


def answers(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Everything that a model answers: logits, spans, hidden states, but not the loss."""
    with torch.no_grad():
        out = model(**batch)
    return {k: v for k, v in out.items() if isinstance(v, Tensor) and k != "loss"}


def outputs(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
    """The same as :func:`answers` in one flat tensor."""
    return torch.cat([tensor.flatten() for tensor in answers(model, batch).values()])


def far(one: Tensor, other: Tensor) -> float:
    """The relative distance of two tensors: |one - other| / |other|."""
    return float((one.double() - other.double()).norm() / other.double().norm())
