from types import SimpleNamespace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from prunus.errors import PrunusError
from prunus.registry import build
from prunus.task import agreement
from prunus.task._windows import Window, windows
from tests.task.conftest import WORDS
from tests.task.squad import row, write

SMALL = {"max_length": 12, "stride": 2, "max_question_length": 3, "max_answer_length": 4}


class Oracle(nn.Module):
    """Says the spans of ``spans`` (places of start and end), one a call, in the order of calls."""

    def __init__(self, spans) -> None:
        super().__init__()
        self.bias, self.spans = nn.Parameter(torch.zeros(1)), iter(spans)

    def forward(self, input_ids, attention_mask, **others) -> SimpleNamespace:
        assert not {"start_positions", "end_positions"} & set(others)
        starts, ends = torch.zeros(2, *input_ids.shape)
        for example in range(len(input_ids)):
            start, end = next(self.spans)
            starts[example, start] += 9
            ends[example, end] += 9
        starts[attention_mask == 0] = ends[attention_mask == 0] = 99  # padding must not count
        return SimpleNamespace(start_logits=starts, end_logits=ends)


def prepare(path, tokenizer, **changes):
    task = {"name": "question_answering", "data": path, **SMALL, **changes}
    return build("task", task).prepare(tokenizer)


def labels(prepared, split, batch_size=32):
    """The right places, in the order in which ``evaluate`` goes through the windows."""
    batches = prepared.batches(split, batch_size)
    places = (torch.stack([b["start_positions"], b["end_positions"]], 1) for b in batches)
    return torch.cat(list(places)).tolist()


@pytest.fixture
def rows():
    return [
        row("the film is a very very long bad film the bad film", "is good", "bad film"),
        row("a good film", "  a film  ", "good", "good film"),
        row("is a a film the very short film", "the very film is long", "very short film"),
    ]


@pytest.fixture
def prepared(rows, tokenizer, tmp_path):
    return prepare({"validation": write(tmp_path / "rows.jsonl", rows)}, tokenizer)


def decode(window, context) -> str:
    return context[int(window.offsets[0, 0]) : int(window.offsets[-1, 1])]


def test_windows_cover_a_context_and_share_the_stride(prepared, rows):
    of_first = [w for w in prepared.windows("validation") if w.question == 0]
    said = [decode(window, rows[0]["context"]).split() for window in of_first]
    assert [len(window.inputs["input_ids"]) for window in of_first] == [12, 12]
    assert said == [rows[0]["context"].split()[:7], rows[0]["context"].split()[5:]]


def test_a_long_question_is_cut_off(prepared, tokenizer):
    window = next(w for w in prepared.windows("validation") if w.question == 2)
    assert tokenizer.decode(window.inputs["input_ids"][1:4]) == "the very film"
    assert window.first == 5


CONTEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40)


@settings(max_examples=40)
@given(CONTEXTS, st.integers(0, 39), st.integers(1, 4), st.integers(0, 4))
def test_labels_are_the_answer_where_a_window_holds_all_of_it(
    tokenizer, tmp_path_factory, context, begin, length, asked
):
    assume(begin + length <= len(context))
    text = " ".join(context)
    before, answer = " ".join([*context[:begin], ""]), " ".join(context[begin : begin + length])
    one = {"question": " ".join(["is"] * asked) or "is", "context": text}
    one["answers"] = {"text": [answer], "answer_start": [len(before)]}
    path = write(tmp_path_factory.mktemp("squad") / "rows.jsonl", [one])
    prepared = prepare({"validation": path}, tokenizer, stride=4)
    whole = [len(before), len(before) + len(answer)]
    for window, example in zip(
        prepared.windows("validation"), prepared.examples("validation"), strict=True
    ):
        start, end = example["start_positions"], example["end_positions"]
        here = window.offsets[0, 0] <= whole[0] and whole[1] <= window.offsets[-1, 1]
        if here:
            tokens = window.offsets[start - window.first], window.offsets[end - window.first]
            assert [int(tokens[0][0]), int(tokens[1][1])] == whole
        else:
            assert (start, end) == (0, 0)
    quality = prepared.evaluate(Oracle(labels(prepared, "validation")))
    assert quality.extra["exact_match"] == 100  # the stride is as long as the longest answer


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 999))
def test_the_best_span_is_that_of_a_search_through_all(tokens, most, seed):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randint(-9, 9, (2, tokens + 3), generator=draw).float()
    logits += torch.rand(logits.shape, generator=draw) / 100
    offsets = torch.tensor([[3 * n, 3 * n + 2] for n in range(tokens)], dtype=torch.int32)
    value, characters = Window(0, {}, 2, offsets, 0).best(logits, most)
    every = {
        (start, end): float(logits[0, 2 + start] + logits[1, 2 + end])
        for start in range(tokens)
        for end in range(start, min(tokens, start + most))
    }
    start, end = max(every, key=lambda span: every[span])
    assert (value, characters) == (pytest.approx(every[start, end]), (3 * start, 3 * end + 2))


def test_a_window_without_context_has_no_span():
    window = Window(0, {}, 0, torch.zeros(0, 2, dtype=torch.int32), 0)
    assert window.best(torch.ones(2, 5), 3)[0] == -torch.inf
    assert window.label((0, 2)) == {"start_positions": 0, "end_positions": 0}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("size", [1, 2, 32])
def test_the_right_places_score_full_marks_in_any_batching(prepared, size, side):
    prepared.tokenizer.padding_side = side
    try:
        shift = [
            (batch["attention_mask"][i] == 0).sum().item() if side == "left" else 0
            for batch in prepared.batches("validation", size)
            for i in range(len(batch["input_ids"]))
        ]
        right = labels(prepared, "validation", size)
        spans = [[place + by for place in span] for span, by in zip(right, shift, strict=True)]
        quality = prepared.evaluate(Oracle(spans), batch_size=size)
    finally:
        prepared.tokenizer.padding_side = "right"
    assert (quality.metric, quality.value, quality.n) == ("f1", 100, 3)
    assert quality.extra == {"exact_match": 100}


def test_partly_right_answers_and_their_standard_error(prepared):
    quality = prepared.assess("validation", ["the bad film", "film", "long"])
    assert quality.scores.tolist() == pytest.approx([1, 2 / 3, 0])
    assert quality.value == pytest.approx(100 * 5 / 9)
    assert quality.stderr == pytest.approx(100 * quality.scores.std(correction=0) / 3**0.5)
    assert quality.extra == {"exact_match": pytest.approx(100 / 3)}


def test_agreement_counts_answers_that_are_the_same(prepared):
    one = prepared.assess("validation", ["the film", "good", ""])
    two = prepared.assess("validation", ["Film.", "bad", ""])
    assert agreement(one, one) == 1
    assert agreement(one, two) == pytest.approx(2 / 3)


def test_nothing_is_said_where_nothing_is_more_likely_by_the_threshold(rows, tokenizer, tmp_path):
    rows = [*rows, row("film is good", "is bad")]
    path = {"validation": write(tmp_path / "rows.jsonl", rows)}
    prepared = prepare(path, tokenizer)
    assert prepared.no_answer
    quality = prepared.evaluate(Oracle(labels(prepared, "validation")))
    assert (quality.value, quality.n) == (100, 4)
    none = prepared.evaluate(Oracle([(0, 0)] * 9))
    assert none.scores.tolist() == [0, 0, 0, 1]
    eager = prepare(path, tokenizer, null_threshold=18.1).evaluate(Oracle([(0, 0)] * 9))
    assert eager.scores[3] == 0
    always = prepare(path, tokenizer, no_answer=False).evaluate(Oracle([(0, 0)] * 9))
    assert always.scores[3] == 0


def test_a_window_that_misses_the_answer_does_not_make_it_nothing(rows, tokenizer, tmp_path):
    path = {"validation": write(tmp_path / "rows.jsonl", rows)}
    prepared = prepare(path, tokenizer, no_answer=True)
    places = labels(prepared, "validation")
    assert [0, 0] in places
    assert prepared.evaluate(Oracle(places)).value == 100


def test_batches_in_the_order_of_the_split(prepared):
    batches = prepared.batches("validation", 2, order="drawn")
    lengths = prepared.lengths("validation").tolist()
    assert batches.order.tolist() == list(range(len(lengths)))
    seen = [int(n) for batch in batches for n in batch["attention_mask"].sum(-1)]
    assert seen == lengths
    chunks = [lengths[start : start + 2] for start in range(0, len(lengths), 2)]
    assert [batch["input_ids"].shape[1] for batch in batches] == list(map(max, chunks))


def test_baselines(prepared, rows, tokenizer, tmp_path):
    found = prepared.baselines()
    assert list(found) == ["nearest_sentence"]
    three = "Good film. Bad film! The long one"
    said = [row(three, "is it long", "long one"), row(three, "is it bad", "Bad"), row(three, "is")]
    path = write(tmp_path / "rows.jsonl", said)
    two = prepare({"validation": path}, tokenizer).baselines()
    assert two["nearest_sentence"] == pytest.approx(100 * (1 + 2 / 3) / 3)
    assert two["no_answer"] == pytest.approx(100 / 3)


def test_splits_are_drawn_as_for_texts(rows, tokenizer, tmp_path):
    many = [{**rows[n % 3], "question": f"is {n}"} for n in range(20)]
    path = write(tmp_path / "rows.jsonl", many)
    splits = {"development": 4, "validation": 5}
    prepared = prepare(path, tokenizer, splits=splits)
    asked = {name: set(split.questions) for name, split in prepared.splits.items()}
    assert {name: len(found) for name, found in asked.items()} == {
        "train": 11, "development": 4, "validation": 5, "calibration": 11
    }  # fmt: skip
    assert not asked["train"] & (asked["development"] | asked["validation"])


def test_what_does_not_fit_is_told(rows, tokenizer, tmp_path):
    path = write(tmp_path / "rows.jsonl", rows)
    task = build("task", {"name": "question_answering", "data": path})
    with pytest.raises(PrunusError, match=r"a head of 2 outputs, the model's has 3"):
        task.prepare(tokenizer, 3)
    with pytest.raises(PrunusError, match=r"windows of 12 tokens leave 6 .*stride of 6.*max_len"):
        prepare(path, tokenizer, stride=6).batches("train")
    with pytest.raises(PrunusError, match=r"windows of 32 tokens leave -35"):
        task.prepare(tokenizer).batches("train")  # the tokenizer's own limit
    moved = [{**rows[1], "answers": {"text": ["good"], "answer_start": [3]}}]
    with pytest.raises(PrunusError, match=r"train: row 0: the answer 'good' is not at character 3"):
        prepare(write(tmp_path / "moved.jsonl", moved), tokenizer)
    with pytest.raises(PrunusError, match=r"'context'.*These are SQuAD's columns"):
        prepare(write(tmp_path / "bare.jsonl", [{"question": "is"}]), tokenizer)
    empty = [{**rows[0], "question": ""}]
    with pytest.raises(PrunusError, match=r"train: column 'question' holds nothing in its row 0"):
        prepare(write(tmp_path / "empty.jsonl", empty), tokenizer)


def test_a_slow_tokenizer_is_told():
    with pytest.raises(PrunusError, match=r"needs a fast tokenizer, SimpleNamespace is none"):
        next(windows(SimpleNamespace(is_fast=False), ["is"], ["good"], 12, 2, 3))


def test_a_classifier_is_refused(prepared, bert):
    from transformers import BertForSequenceClassification

    with pytest.raises(PrunusError, match=r"a BertForSequenceC.* gives no start_logits"):
        prepared.evaluate(BertForSequenceClassification(bert))


@pytest.mark.data
@pytest.mark.parametrize(("version", "rows"), [("squad", 700), ("squad_v2", 1407)])
def test_squad_opens_from_the_mirror(mirror, tokenizer, version, rows):
    configs = {"squad": "plain_text", "squad_v2": "squad_v2"}
    task = {"data": f"rajpurkar/{version}", "config": configs[version]}
    prepared = build("task", {"name": "question_answering", **task}).prepare(tokenizer)
    assert len(prepared.splits["validation"].questions) == rows
    assert prepared.no_answer == (version == "squad_v2")
