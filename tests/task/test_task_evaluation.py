from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import BertForSequenceClassification, T5Config, T5ForSequenceClassification

from prunus.errors import PrunusError
from prunus.registry import build

GOOD = 4  # the token of the word


class Oracle(nn.Module):
    """Says class 1 where a text has the word ``good``, or how many tokens it has."""

    def __init__(self, outputs=2) -> None:
        super().__init__()
        self.scale, self.dropout = nn.Parameter(torch.ones(outputs)), nn.Dropout()
        self.outputs = outputs
        self.seen = []

    def forward(self, input_ids, attention_mask, **_) -> SimpleNamespace:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.seen.append(tuple(input_ids.shape))
        good = (input_ids == GOOD).any(-1).float()
        values = attention_mask.sum(-1).float() if self.outputs == 1 else good
        return SimpleNamespace(logits=torch.stack([-values, values][-self.outputs :], -1))


@pytest.fixture
def prepared(reviews, tokenizer):
    task = {"name": "text_classification", "data": reviews, "splits": {"validation": 15}}
    return build("task", task).prepare(tokenizer)


@pytest.fixture
def pairs(write, tokenizer):
    """A regression on pairs: the label is the number of tokens."""
    rows = [("a", "b", "score")]
    rows += [("very " * n, "good film", n + 5) for n in range(12)]
    task = {"name": "text_classification", "data": write(rows), "text": ["a", "b"]}
    task |= {"label": "score", "regression": True, "metric": ["spearman", "pearson"]}
    return build("task", task | {"splits": {"validation": 5}}).prepare(tokenizer)


def test_batches_are_grouped_by_length_and_know_their_order(prepared):
    batches = prepared.batches("validation", batch_size=4)
    lengths = prepared.lengths("validation")
    assert [len(batch["labels"]) for batch in batches] == [4, 4, 4, 3]
    seen = torch.cat([batch["attention_mask"].sum(-1) for batch in batches])
    assert seen.tolist() == lengths[batches.order].tolist() == sorted(seen, reverse=True)
    widths = [batch["input_ids"].shape[1] for batch in batches]
    assert widths == [int(part.max()) for part in seen.split(4)]
    labels = torch.cat([batch["labels"] for batch in batches])
    assert labels.tolist() == prepared.labels("validation")[batches.order].tolist()


def test_a_limit_takes_the_first_examples(prepared):
    batches = prepared.batches("validation", batch_size=4, limit=6)
    assert sorted(batches.order.tolist()) == list(range(6))


def test_texts_are_cut_off_at_max_length_and_at_the_tokenizers(reviews, tokenizer):
    task = {"name": "text_classification", "data": reviews, "max_length": 5}
    assert build("task", task).prepare(tokenizer).lengths("train").max() == 5
    long = build("task", task | {"max_length": 500}).prepare(tokenizer)
    assert long.lengths("train").max() <= 32


def test_predictions_return_to_the_order_of_the_split(prepared):
    quality = prepared.evaluate(Oracle(), batch_size=4)
    expected = [int("good" in text) for text in prepared.texts("validation")]
    assert quality.predictions.tolist() == expected
    assert (quality.value, quality.n, quality.stderr) == (100, 15, 0)


def test_evaluation_leaves_every_module_in_its_mode(prepared):
    model = Oracle().train()
    model.dropout.eval()
    prepared.evaluate(model)
    assert model.training
    assert not model.dropout.training


def test_batches_of_equal_lengths_pad_nothing(prepared):
    batches = prepared.batches("train", batch_size=3, order="equal")
    lengths = prepared.lengths("train")
    assert all(bool(batch["attention_mask"].all()) for batch in batches)
    assert max(len(batch["labels"]) for batch in batches) == 3
    assert sorted(batches.order.tolist()) == list(range(len(lengths)))
    seen = torch.cat([batch["attention_mask"].sum(-1) for batch in batches])
    assert torch.equal(seen, lengths[batches.order])


def test_progress_wraps_the_batches(prepared):
    counts = []
    prepared.evaluate(Oracle(), batch_size=4, progress=lambda b: counts.append(len(b)) or b)
    assert counts == [4]


def test_regression_on_pairs(pairs):
    quality = pairs.evaluate(Oracle(1), batch_size=2)
    assert quality.metric == "spearman"
    assert quality.value == pytest.approx(100)
    assert quality.extra["pearson"] == pytest.approx(100)
    assert quality.predictions.tolist() == pairs.labels("validation").tolist()
    assert pairs.texts("validation")[0][1] == "good film"
    assert pairs.batches("train")[0]["labels"].dtype == torch.float32


def test_real_classifiers_answer_the_same_in_any_batching(prepared, bert):
    torch.manual_seed(0)
    t5 = T5Config(
        vocab_size=bert.vocab_size, d_model=16, d_kv=4, d_ff=12, num_layers=1, num_heads=2,
        num_labels=2, decoder_start_token_id=0, pad_token_id=0, eos_token_id=2,
    )  # fmt: skip
    for model in (BertForSequenceClassification(bert), T5ForSequenceClassification(t5)):
        one, all_ = (prepared.evaluate(model, batch_size=size) for size in (1, 15))
        assert one.predictions.tolist() == all_.predictions.tolist()


def test_a_head_that_is_too_small_or_broken_is_told(prepared):
    with pytest.raises(PrunusError, match=r"head has 1 outputs, the task 2 labels: bad, good"):
        prepared.evaluate(Oracle(1))

    class Broken(Oracle):
        def forward(self, input_ids, attention_mask, **_) -> SimpleNamespace:
            return SimpleNamespace(logits=torch.full((len(input_ids), 2), torch.nan))

    with pytest.raises(PrunusError, match=r"outputs on 'validation' are not finite"):
        prepared.evaluate(Broken())


def test_a_tokenizer_that_cannot_pad_is_told(reviews, tokenizer):
    bare = tokenizer.__class__(tokenizer_object=tokenizer.backend_tokenizer)
    task = build("task", {"name": "text_classification", "data": reviews})
    with pytest.raises(PrunusError, match=r"no padding token: set tokenizer\.pad_token"):
        task.prepare(bare).batches("train")


def test_baselines(prepared, pairs):
    found = prepared.baselines()
    mode = prepared.labels("train").mode().values
    majority = 100 * (prepared.labels("validation") == mode).double().mean().item()
    assert found == {"majority": pytest.approx(majority), "bag_of_words": 100}
    assert pairs.baselines()["majority"] == 0


def test_glue_spells_out_its_columns():
    mnli = build("task", {"name": "glue", "subset": "mnli", "splits": {"calibration": 64}}).table()
    assert mnli.text == ("premise", "hypothesis")
    assert mnli.splits == {"validation": "validation_matched", "calibration": 64}
    mrpc = build("task", {"name": "glue", "subset": "mrpc", "max_length": 77}).table()
    assert (mrpc.metrics, mrpc.max_length) == (("accuracy", "f1"), 77)
    assert build("task", {"name": "glue", "subset": "stsb"}).table().regression


@pytest.mark.data
@pytest.mark.parametrize("subset", ["sst2", "mrpc", "cola", "rte", "stsb"])
def test_glue_opens_from_the_mirror(mirror, tokenizer, subset):
    sizes = {"sst2": 872, "mrpc": 408, "cola": 1043, "rte": 277, "stsb": 1500}
    prepared = build("task", {"name": "glue", "subset": subset}).prepare(tokenizer)
    assert len(prepared.labels("validation")) == sizes[subset]
    assert len(prepared.label_names) == (1 if subset == "stsb" else 2)
