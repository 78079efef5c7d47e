"""Every subset of GLUE in the columns, split names and label names of the hub's nyu-mll/glue."""

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from transformers import BertForSequenceClassification

from prunus.registry import build

TWO = ("validation",)
ENTAILMENT = ["entailment", "not_entailment"]
HUB = {
    "cola": (["sentence"], ["unacceptable", "acceptable"], TWO),
    "mnli": (
        ["premise", "hypothesis"],
        ["entailment", "neutral", "contradiction"],
        ("validation_matched", "validation_mismatched", "test_matched", "test_mismatched"),
    ),
    "mrpc": (["sentence1", "sentence2"], ["not_equivalent", "equivalent"], TWO),
    "qnli": (["question", "sentence"], ENTAILMENT, TWO),
    "qqp": (["question1", "question2"], ["not_duplicate", "duplicate"], TWO),
    "rte": (["sentence1", "sentence2"], ENTAILMENT, TWO),
    "sst2": (["sentence"], ["negative", "positive"], TWO),
    "stsb": (["sentence1", "sentence2"], None, TWO),
}
METRICS = {
    "cola": ("matthews", "accuracy"),
    "mrpc": ("accuracy", "f1"),
    "qqp": ("accuracy", "f1"),
    "stsb": ("spearman", "pearson"),
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Writes a mirror of one subset: 12 training rows, 6 in every other split, no test labels."""
    monkeypatch.setenv("PRUNUS_DATA", str(tmp_path))

    def hub(subset):
        texts, names, others = HUB[subset]
        kind = ClassLabel(names=names) if names else Value("float32")
        features = {text: Value("string") for text in texts} | {
            "label": kind,
            "idx": Value("int32"),
        }
        folder = tmp_path / "nyu-mll" / "glue" / subset
        folder.mkdir(parents=True)
        for split in ("train", *others, "test"):
            size = 12 if split == "train" else 6
            rows = {text: [f"{text} {split} good {n}" for n in range(size)] for text in texts}
            rows["label"] = [n % len(names) if names else n / 2 for n in range(size)]
            if split.startswith("test"):
                rows["label"] = [-1] * size
            rows["idx"] = list(range(size))
            Dataset.from_dict(rows, Features(features)).to_parquet(folder / f"{split}.parquet")

    return hub


@pytest.mark.parametrize("subset", HUB)
def test_every_subset_opens_as_the_hub_has_it(subset, hub, tokenizer, bert):
    hub(subset)
    texts, names, others = HUB[subset]
    task = build("task", {"name": "glue", "subset": subset, "splits": {"development": 3}})
    prepared = task.prepare(tokenizer)
    assert prepared.label_names == (names or ["label"])
    assert {name: len(split.labels) for name, split in prepared.splits.items()} == {
        "train": 9, "calibration": 9, "development": 3, "validation": 6
    }  # fmt: skip
    parts = prepared.splits["validation"].texts
    assert [part[0] for part in parts] == [f"{text} {others[0]} good 0" for text in texts]
    model = BertForSequenceClassification(bert.__class__(**{**bert.to_dict(), "num_labels": 3}))
    if not names:
        model = BertForSequenceClassification(bert.__class__(**{**bert.to_dict(), "num_labels": 1}))
    quality = prepared.evaluate(model)
    assert (quality.metric, *quality.extra) == METRICS.get(subset, ("accuracy",))
    assert set(prepared.baselines()) == {"majority", "bag_of_words"}


def test_mnli_mismatched_is_one_override_away(hub, tokenizer):
    hub("mnli")
    task = {"name": "glue", "subset": "mnli", "splits": {"validation": "validation_mismatched"}}
    premises = build("task", task).prepare(tokenizer).texts("validation")
    assert premises[0][0] == "premise validation_mismatched good 0"


def test_the_labels_of_mnli_follow_the_head(hub, tokenizer):
    hub("mnli")
    task = build("task", {"name": "glue", "subset": "mnli"})
    plain = task.prepare(tokenizer, 3, head_names=["LABEL_0", "LABEL_1", "LABEL_2"])
    turned = task.prepare(tokenizer, 3, head_names=["CONTRADICTION", "NEUTRAL", "ENTAILMENT"])
    assert plain.label_names == ["entailment", "neutral", "contradiction"]
    assert torch.equal(turned.labels("validation"), 2 - plain.labels("validation"))
