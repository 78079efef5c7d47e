"""Looks at held-out examples while a model is trained, and trainings that end early."""

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from prunus.errors import PrunusError
from prunus.registry import build
from prunus.task import Prepared, Training, train
from tests.task.pairs import PAIRS, words, write
from tests.tiny import tiny

SPLITS = {"train": 20, "validation": 6, "development": 9}
QUICK = {"max_steps": 7, "batch_size": 4, "learning_rate": 0.01, "evaluate": False}


@pytest.fixture
def task(reviews):
    return build("task", {"name": "text_classification", "data": reviews, "splits": SPLITS})


@pytest.fixture
def learn(task, pretrained, tmp_path):
    """Trains with settings; the folder and the record."""

    def learn(name="dense", **settings):
        out = train(pretrained, task, Training(**{**QUICK, **settings}), tmp_path / name, True)
        return out, json.loads((out / "training.json").read_text())

    return learn


@pytest.fixture
def losses(monkeypatch):
    """Looks find what is asked for, one after another; the weights of each are kept beside."""

    def losses(*values):
        left, seen = list(values), []

        def loss(self, model, split, limit):
            seen.append({name: own.clone() for name, own in model.state_dict().items()})
            return left.pop(0)

        monkeypatch.setattr(Prepared, "loss", loss)
        return seen

    return losses


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def weights(folder: Path):
    return load_file(folder / "model.safetensors")


def test_looks_come_before_the_first_step_every_so_many_and_after_the_last(learn):
    points = learn(eval_steps=3)[1]["history"]
    assert [point["step"] for point in points] == [0, 3, 6, 7]
    assert [point["training"] is None for point in points] == [True, False, False, False]
    assert points[-1]["epoch"] == pytest.approx(7 / 5)
    assert all(point["quality"] is None for point in points)
    assert points[0]["cpu"] == points[0]["seconds"] == 0
    assert all(one["cpu"] < two["cpu"] for one, two in pairwise(points))
    assert all(one["seconds"] < two["seconds"] for one, two in pairwise(points))


def test_looks_change_nothing(learn):
    without, record = learn("without")
    assert record["history"] == []
    looked, seen = learn("looked", eval_steps=1, eval_metric=True)
    assert same(weights(without), weights(looked))
    assert seen["loss"] == pytest.approx(record["loss"], rel=1e-6)
    mean = sum(point["training"] for point in seen["history"][1:]) / 7
    assert mean == pytest.approx(record["loss"], rel=1e-5)


def test_what_is_seen_is_the_loss_and_the_metric_of_the_split(task, learn):
    out, record = learn(eval_steps=7, eval_metric=True, eval_samples=5)
    model = AutoModelForSequenceClassification.from_pretrained(out)
    prepared = task.prepare(AutoTokenizer.from_pretrained(out), 2)
    last = record["history"][-1]
    batch = prepared.batches("development", 9, 5, order="drawn")[0]
    with torch.no_grad():
        logits = model.eval()(**batch).logits
    right = nn.functional.cross_entropy(logits, batch["labels"]).item()
    assert last["validation"] == pytest.approx(right, rel=1e-4)
    hits = (logits.argmax(1) == batch["labels"]).double().mean().item()
    assert last["quality"] == pytest.approx(100 * hits)
    assert prepared.evaluate(model, "development", limit=5).n == 5


def test_time_spent_looking_is_no_time_of_the_training(learn, monkeypatch):
    loss = Prepared.loss

    def slow(self, *args, **more):
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        return loss(self, *args, **more)

    monkeypatch.setattr(Prepared, "loss", slow)
    last = learn(eval_steps=1)[1]["history"][-1]
    assert 0 < last["cpu"] < 1.2
    assert 0 < last["seconds"] < 1.2


def test_patience_ends_a_training_and_leaves_the_lowest(learn, losses):
    seen = losses(3.0, 2.0, 1.0, 1.5, 1.0)
    out, record = learn(eval_steps=1, patience=2)
    assert [point["step"] for point in record["history"]] == [0, 1, 2, 3, 4]
    assert record["kept"] == 2
    assert same(weights(out), seen[2])
    assert not same(seen[2], seen[4])


def test_the_lowest_is_left_though_patience_lasted(learn, losses):
    seen = losses(3.0, 1.0, 2.0, float("nan"))
    out, record = learn(eval_steps=3, patience=5)
    assert [point["step"] for point in record["history"]] == [0, 3, 6, 7]
    assert record["kept"] == 3
    assert same(weights(out), seen[1])


def test_what_is_no_number_is_not_the_lowest(learn, losses):
    seen = losses(float("nan"), 3.0, float("nan"), 2.5)
    out, record = learn(eval_steps=3, patience=2)
    assert record["kept"] == 7
    assert same(weights(out), seen[3])


def test_without_patience_the_last_weights_are_left(learn, losses):
    seen = losses(1.0, 2.0, 3.0, 4.0)
    out, record = learn(eval_steps=3)
    assert record["kept"] is None
    assert same(weights(out), seen[3])


def test_of_an_average_the_average_is_looked_at_and_left(learn, losses):
    seen = losses(3.0, 1.0, 2.0, 2.0)
    out, record = learn(eval_steps=3, patience=5, averaging=0.9)
    assert record["kept"] == 3
    assert same(weights(out), seen[1])
    plain, _ = learn("plain", max_steps=3, averaging=0.9, scheduler="constant", warmup_steps=0)
    assert not same(weights(out), weights(plain))


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"patience": 3}, r"patience: nothing looks at the training.* eval_steps: 10"),
        ({"eval_metric": True}, r"eval_metric: nothing looks"),
        ({"eval_samples": 3}, r"eval_samples: nothing looks"),
        ({"eval_split": "validation"}, r"eval_split: nothing looks"),
    ],
)
def test_nothing_is_said_of_looks_that_do_not_take_place(said, match):
    with pytest.raises(ValueError, match=match):
        Training(**said)


def test_a_split_that_is_not_there_is_told(reviews, pretrained, tmp_path):
    splits = {"train": 20, "validation": 6}
    task = build("task", {"name": "text_classification", "data": reviews, "splits": splits})
    with pytest.raises(PrunusError, match=r"unknown split 'development'.*development: 500"):
        train(pretrained, task, Training(**QUICK, eval_steps=2), tmp_path / "dense", True)
    assert not (tmp_path / "dense").exists()


@pytest.fixture
def translated(tmp_path):
    said = {"name": "translation", "data": write(tmp_path / "pairs.jsonl")}
    task = build("task", said | {"splits": {"validation": "train"}, "max_new_tokens": 4})
    return task.prepare(words()).fitted(tiny("t5").config)


def test_a_translations_loss_is_the_mean_over_tokens(translated):
    model = tiny("t5")
    batch = translated.batches("validation", len(PAIRS))[0]
    with torch.no_grad():
        whole = model.eval()(**batch).loss.item()
    found = [translated.loss(model, "validation", size) for size in (1, 5, 12)]
    assert found == pytest.approx([whole] * 3, rel=1e-5)


def test_some_translations_are_judged_by_their_own_references(translated):
    model = tiny("t5")
    few = translated.evaluate(model, "validation", limit=4)
    assert (few.n, len(few.said)) == (4, 4)
    whole = translated.evaluate(model, "validation")
    assert few.said == whole.said[:4]


def test_a_model_without_a_loss_is_told(translated):
    model = tiny("t5")
    model.forward, forward = lambda **given: forward(**(given | {"labels": None})), model.forward
    with pytest.raises(PrunusError, match="gives no loss of its own"):
        translated.loss(model, "validation")
    del model.forward


def test_questions_count_when_all_their_windows_are_answered(asked, tokenizer):
    said = {"name": "question_answering", "data": asked, "splits": {"validation": 10}}
    said |= {"max_length": 14, "stride": 3, "max_question_length": 4}
    prepared = build("task", said).prepare(tokenizer)
    asked_of = [window.question for window in prepared.windows("validation")]
    model = tiny("bert", "BertForQuestionAnswering")
    for limit in range(1, len(asked_of)):
        whole = asked_of[limit]
        assert prepared.evaluate(model, "validation", limit=limit).n == max(1, whole)
    assert prepared.evaluate(model, "validation").n == 10
    assert len(set(asked_of)) < len(asked_of)
