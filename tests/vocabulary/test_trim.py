import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import prunus
from prunus.errors import PrunusError
from prunus.vocabulary import count, plan_of
from tests.recipes.dense import wordpiece
from tests.tiny import tiny

TEXTS = ["good film", "bad films", "the long word3 word4"]


def answer(model, tokenizer, texts):
    with torch.no_grad():
        return model(**tokenizer(texts, padding=True, return_tensors="pt")).logits


def test_texts_are_answered_as_before_and_open_plainly(tmp_path):
    model, tokenizer = tiny("bert"), wordpiece()
    small, few = prunus.trim_vocabulary(model, tokenizer, TEXTS)
    assert small.config.vocab_size == len(few) < len(tokenizer) == model.config.vocab_size
    assert "word5" not in few.get_vocab()
    before = answer(model, tokenizer, TEXTS)
    assert torch.equal(answer(small, few, TEXTS), before)
    prunus.save(small, tmp_path / "small", few)
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "small")
    again = AutoTokenizer.from_pretrained(tmp_path / "small")
    assert type(opened) is type(model)
    assert torch.equal(answer(opened, again, TEXTS), before)
    assert torch.equal(answer(opened, again, ["word9"]), answer(opened, again, ["word8"]))


def test_counts_say_the_same_as_texts():
    model, tokenizer = tiny("bert"), wordpiece()
    counts = count(tokenizer, iter(TEXTS))
    assert counts[tokenizer.convert_tokens_to_ids("film")] == 2
    one, two = (prunus.trim_vocabulary(model, tokenizer, data)[1] for data in (TEXTS, counts))
    assert one.get_vocab() == two.get_vocab()
    plan = plan_of(model, tokenizer, counts, min_count=2)
    assert plan.kept()["tokens:vocab"][0] < len(one)


def test_what_is_pruned_can_be_trimmed_and_the_other_way_round(tmp_path):
    model, tokenizer = tiny("bert"), wordpiece()
    batch = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    pruned = prunus.prune(model, [batch])
    small, few = prunus.trim_vocabulary(pruned, tokenizer, TEXTS)
    assert torch.equal(answer(small, few, TEXTS), answer(pruned, tokenizer, TEXTS))
    prunus.save(small, tmp_path / "small", few)
    again = prunus.load(tmp_path / "small")
    assert torch.equal(answer(again, few, TEXTS), answer(small, few, TEXTS))
    trimmed, few = prunus.trim_vocabulary(model, tokenizer, TEXTS)
    other = prunus.prune(trimmed, [dict(few(TEXTS, padding=True, return_tensors="pt"))])
    assert torch.allclose(answer(other, few, TEXTS), answer(small, few, TEXTS), atol=1e-6)


def test_what_cannot_be_trimmed_is_told():
    model, tokenizer = tiny("bert"), wordpiece()
    with pytest.raises(PrunusError, match="no token was seen 1 times or more"):
        prunus.trim_vocabulary(model, tokenizer, [])
    with pytest.raises(PrunusError, match="embeddings of 16 tokens: the tokenizer is another"):
        prunus.trim_vocabulary(tiny("bert", vocab_size=16), tokenizer, TEXTS)
    with pytest.raises(PrunusError, match="unknown site kind 'vocab'"):
        prunus.trim_vocabulary(tiny("vit"), tokenizer, TEXTS)


def test_a_slow_tokenizer_is_told(tmp_path):
    from transformers import BertweetTokenizer

    (tmp_path / "vocab.txt").write_text("a 1\nb 1\n")
    (tmp_path / "bpe.codes").write_text("a b 1\n")
    slow = BertweetTokenizer(str(tmp_path / "vocab.txt"), str(tmp_path / "bpe.codes"))
    with pytest.raises(PrunusError, match="BertweetTokenizer is a slow tokenizer"):
        prunus.trim_vocabulary(tiny("roberta"), slow, {5: 1})


def test_an_older_vocabulary_is_not_left_beside(tmp_path):
    model, tokenizer = tiny("bert"), wordpiece()
    prunus.save(model, tmp_path / "dense", tokenizer)
    (tmp_path / "dense" / "tokenizer.model").write_text("of the whole vocabulary")
    modules = '[{"path": "", "type": "sentence_transformers.models.Transformer"}]'
    (tmp_path / "dense" / "modules.json").write_text(modules)
    small, few = prunus.trim_vocabulary(model, tokenizer, TEXTS)
    prunus.save(small, tmp_path / "small", few, around=tmp_path / "dense")
    assert (tmp_path / "small" / "modules.json").exists()
    assert not (tmp_path / "small" / "tokenizer.model").exists()
