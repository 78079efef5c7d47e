import pytest
import torch

from prunus.registry import build
from prunus.task import assess, calibration_error, difference
from prunus.task._changes import changed
from prunus.task._confidence import recalls


def quality(said, labels, sure=None, metrics=("accuracy",)):
    confidences = None if sure is None else torch.tensor(sure)
    return assess(torch.tensor(said), torch.tensor(labels), metrics, confidences=confidences)


def slow_calibration_error(sure, right, bins):
    """Guo et al., eq. 3, bin by bin: the m-th holds confidences in ((m - 1) / M, m / M]."""
    total = 0.0
    for m in range(1, bins + 1):
        inside = [i for i, p in enumerate(sure) if (m - 1) / bins < p <= m / bins]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            confidence = sum(sure[i] for i in inside) / len(inside)
            total += len(inside) / len(sure) * abs(accuracy - confidence)
    return 100 * total


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_the_calibration_error_is_that_of_the_definition(bins):
    torch.manual_seed(0)
    sure, right = (0.5 + torch.rand(200).double() / 2).tolist(), torch.randint(2, (200,))
    found = quality([1] * 200, right.tolist(), sure)
    expected = slow_calibration_error(sure, right.tolist(), bins)
    assert calibration_error(found, bins) == pytest.approx(expected)
    assert expected > 1


def test_confidence_that_is_accuracy_has_no_error():
    found = quality([1, 1, 1, 1], [1, 1, 1, 0], [0.75] * 4)
    assert calibration_error(found) == pytest.approx(0)
    assert calibration_error(quality([1, 1], [1, 0], [1.0, 1.0])) == pytest.approx(50)
    assert calibration_error(quality([1], [1])) is None


def test_each_class_has_its_recall():
    found = recalls(torch.tensor([0, 1, 1, 0, 2]), torch.tensor([0, 0, 1, 0, 1]), 4)
    assert [own.n for own in found] == [3, 2, 0, 0]
    assert [own.value for own in found[:2]] == pytest.approx([200 / 3, 50])
    assert found[2].value != found[2].value


def test_changes_are_sorted_by_kind_and_by_confidence():
    labels = [0, 0, 0, 1, 1, 2, 2]
    dense = quality([0, 0, 0, 0, 1, 0, 1], labels, [0.9] * 7)
    pruned = quality([1, 0, 2, 1, 1, 1, 1], labels, [0.6, 0.9, 0.8, 0.5, 0.7, 0.4, 0.9])
    assert changed(dense, pruned) == {
        "right_to_wrong": [2, 0],
        "wrong_to_right": [3],
        "wrong_otherwise": [5],
    }


def test_numbers_have_no_flips_but_changes():
    labels = [1.0, 2.0, 3.0]
    one = quality([1.0, 2.0, 3.0], labels, metrics=["spearman"])
    two = quality([1.5, 1.0, 3.0], labels, metrics=["spearman"])
    assert changed(one, two) == {"largest_change": [1, 0, 2]}


def test_a_difference_is_paired():
    labels = [0, 1] * 50
    one = quality(labels, labels)
    two = quality([1, 0, *labels[2:]], labels)
    found = difference(one, two)
    assert found.value == pytest.approx(2)
    assert found.margin == pytest.approx(1.96 * 100 * (0.02 * 0.98 / 100) ** 0.5)
    assert (difference(two, one).value, difference(one, one).margin) == (pytest.approx(-2), 0)
    assert str(found) == "+2.00 ± 2.74"


@pytest.mark.parametrize("metric", ["f1", "matthews"])
def test_the_difference_of_other_metrics_is_bootstrapped_in_pairs(metric):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (300,), generator=generator)
    noise = [torch.rand(300, generator=generator) < 0.2 for _ in range(2)]
    one, two, close = (
        assess((labels + flip) % 2, labels, [metric])
        for flip in (noise[0], noise[1], noise[0] & (torch.arange(300) > 15))
    )
    apart, near = difference(one, two), difference(one, close)
    assert apart.value == pytest.approx(one.value - two.value)
    alone = 1.96 * (one.stderr**2 + two.stderr**2) ** 0.5
    assert apart.margin == pytest.approx(alone, rel=0.25)
    assert 0 < near.margin < apart.margin / 2
    assert difference(one, two, seed=1).margin != apart.margin


def test_changes_are_told_with_their_texts(reviews, tokenizer):
    task = {"name": "text_classification", "data": reviews, "splits": {"validation": 8}}
    prepared = build("task", task).prepare(tokenizer)
    labels = prepared.labels("validation")
    pruned = labels.clone()
    pruned[[2, 5, 6]] = 1 - pruned[[2, 5, 6]]
    sure = torch.linspace(0.5, 0.9, 8)
    before = assess(labels, labels, ["accuracy"], confidences=sure)
    after = assess(pruned, labels, ["accuracy"], confidences=sure)
    found = prepared.changes("validation", before, after, most=2)
    lost = found["right_to_wrong"]
    assert (lost.n, found["wrong_to_right"].n) == (3, 0)
    texts = prepared.texts("validation")
    assert [change.asked.texts for change in lost.examples] == [(texts[6],), (texts[5],)]
    change = lost.examples[0]
    right = prepared.label_names[labels[6]]
    assert change.asked.right == change.dense.text == right != change.pruned.text
    assert change.pruned.confidence == pytest.approx(float(sure[6]))
    assert prepared.recalls(after)[right].n == int((labels == labels[6]).sum())


def test_changed_numbers_are_told_without_confidence(write, tokenizer):
    rows = [("a", "b", "score"), *(("very " * n, "good film", n + 0.25) for n in range(6))]
    task = {"name": "text_classification", "data": write(rows), "text": ["a", "b"]}
    task |= {"label": "score", "regression": True, "splits": {"validation": 4}}
    prepared = build("task", task).prepare(tokenizer)
    labels = prepared.labels("validation")
    moved = labels + torch.tensor([0.0, 3.0, 0.0, -1.0])
    one, two = (assess(values, labels, ["spearman"]) for values in (labels, moved))
    found = prepared.changes("validation", one, two, most=1)
    assert set(found) == {"largest_change"}
    (change,) = found["largest_change"].examples
    assert change.asked.texts == prepared.texts("validation")[1]
    assert change.pruned.text == f"{float(labels[1]) + 3:.2f}"
    assert change.pruned.confidence is None
    assert prepared.recalls(two) == {}
    assert calibration_error(two) is None


def test_changed_spans_are_told_with_their_f1(asked, tokenizer):
    task = {"name": "question_answering", "data": asked, "splits": {"validation": 4}}
    prepared = build("task", task).prepare(tokenizer)
    golds = [right[0] for right in prepared.splits["validation"].golds]
    before = prepared.assess("validation", golds)
    after = prepared.assess("validation", [golds[0], f"{golds[1]} long film", *golds[2:3], ""])
    found = prepared.changes("validation", before, after, most=5)
    lost = found["right_to_wrong"]
    assert [change.pruned.score for change in lost.examples] == [0]
    change = lost.examples[0]
    assert (change.asked.texts, change.asked.right) == (("is",), golds[3])
    assert (change.dense.text, change.pruned.text) == (golds[3], "")
    assert change.dense.score == 1
    assert found["wrong_otherwise"].n == 0
    assert calibration_error(after) is None
    gap = difference(before, after)
    assert gap.value == pytest.approx(25 * (0.5 + 1))
    assert gap.margin > 0
