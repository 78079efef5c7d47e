"""What people do with a checkpoint: pipelines, tokenizers, Auto classes."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    pipeline,
)

import prunus
from prunus.checkpoint import load, model_class, save
from prunus.errors import PrunusError
from tests.tiny import batch_of, outputs, tiny

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "very", "good", "bad", "film"]


@pytest.fixture(scope="module")
def tokenizer():
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32
    )


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """A pruned BERT of uneven widths, with its tokenizer."""
    model = tiny("bert", id2label={0: "bad", 1: "fair", 2: "good"})
    small = prunus.prune(model, [batch_of(model)], density=0.5)
    assert type(small).__name__ == "PrunusBertForSequenceClassification"
    path = tmp_path_factory.mktemp("use") / "model"
    save(small, path, tokenizer)
    return path


def test_a_pipeline(folder, tokenizer):
    texts = ["a very good film", "bad"]
    classify = pipeline("text-classification", model=str(folder))
    found = classify(texts, batch_size=2)
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    inputs = {key: inputs[key] for key in ("input_ids", "attention_mask")}
    shares = load(folder)(**inputs).logits.softmax(-1)
    names = load(folder).config.id2label
    assert [row["label"] for row in found] == [names[int(row.argmax())] for row in shares]
    assert [row["score"] for row in found] == pytest.approx(shares.max(-1).values.tolist())


def test_a_pipeline_around_a_model_in_memory(folder, tokenizer):
    classify = pipeline("text-classification", model=load(folder), tokenizer=tokenizer)
    assert classify("a very good film")[0]["label"] in ("bad", "fair", "good")


def test_auto_classes(folder):
    model = load(folder)
    config = AutoConfig.from_pretrained(folder)
    assert config.model_type == "prunus_bert"
    assert type(config) is type(model.config)
    assert AutoTokenizer.from_pretrained(folder)("good")["input_ids"] == [1, 6, 2]
    built = AutoModelForSequenceClassification.from_config(config)
    shapes = {name: tensor.shape for name, tensor in built.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in model.state_dict().items()}


def test_a_base_model_opens_from_a_checkpoint_with_a_head(folder):
    model, base = load(folder), AutoModel.from_pretrained(folder, add_pooling_layer=True)
    inputs = {key: tensor for key, tensor in batch_of(model).items() if key != "labels"}
    with torch.no_grad():
        expected = model.bert(**inputs).last_hidden_state
        assert torch.equal(base(**inputs).last_hidden_state, expected)


def test_another_number_of_labels_is_refused_unless_asked_for(folder):
    with pytest.raises((PrunusError, RuntimeError), match="mismatch"):
        AutoModelForSequenceClassification.from_pretrained(folder, num_labels=7)


def test_loading_information(folder):
    cls = model_class(type(tiny("bert")))
    model, info = cls.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert torch.equal(outputs(model, batch_of(model)), outputs(load(folder), batch_of(model)))


def test_a_model_that_prunus_made_is_pruned_by_name_alone(folder):
    model = load(folder)
    smaller = prunus.prune(model, [batch_of(model)], density=0.5)
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters())


def test_weights_in_several_files(folder, tmp_path):
    model = load(folder)
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 2
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(outputs(again, batch_of(model)), outputs(model, batch_of(model)))
    shards[1].unlink()
    with pytest.raises(PrunusError, match="is missing"):
        load(tmp_path)


def test_weights_from_memory(folder):
    model = load(folder)
    again = type(model).from_pretrained(None, config=model.config, state_dict=model.state_dict())
    assert torch.equal(outputs(again, batch_of(model)), outputs(model, batch_of(model)))


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_a_larger_vocabulary(family, tmp_path):
    model = tiny(family)
    small = prunus.prune(model, [batch_of(model)], density=0.5)
    small.resize_token_embeddings(60)
    save(small, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.get_input_embeddings().weight.shape[0] == 60
    assert torch.equal(outputs(again, batch_of(model)), outputs(small, batch_of(model)))
