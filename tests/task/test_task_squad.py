import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunus.task._squad import fingerprint, normal, score
from tests.task.squad import reference, words

WORDS = ["the", "The", "a", "an", "cat", "Cat,", "the-cat", "a.", "'s", "—", "é", "e\u0301", "x_y"]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
ANSWERS = st.one_of(SENTENCES, st.text(alphabet="athe TH-.\u00a0\u0301é1", max_size=8))


@settings(max_examples=300)
@given(ANSWERS, st.lists(ANSWERS, max_size=3), st.booleans())
def test_scores_are_those_of_the_definition(answer, golds, no_answer):
    assert score(answer, golds, no_answer) == pytest.approx(reference(answer, golds, no_answer))


@settings(max_examples=100)
@given(ANSWERS, ANSWERS)
def test_fingerprints_are_equal_where_answers_count_as_the_same(one, other):
    assert normal(one).split() == words(one)
    assert (fingerprint(one) == fingerprint(other)) == (words(one) == words(other))
    assert -(2**63) <= fingerprint(one) < 2**63


@pytest.mark.parametrize(
    ("answer", "golds", "no_answer", "expected"),
    [
        ("The Mongol Empire!", ["Mongol Empire"], False, (1, 1)),
        ("Empire of the Mongols", ["Mongol Empire"], False, (0, 0.4)),
        ("the the cat cat", ["a cat sat"], False, (0, 0.5)),
        ("Ménage", ["ménage", "x"], False, (1, 1)),
        ("10th and 11th", ["the 10th and 11th centuries", "10th"], False, (0, 6 / 7)),
        ("U.S.", ["US"], False, (1, 1)),
        ("then", ["the n"], False, (0, 0)),
        ("two\u00a0words", ["two words"], False, (1, 1)),
        ("", ["something"], False, (0, 0)),
        ("The", ["a"], False, (1, 0)),
        ("The", ["a"], True, (1, 1)),
        ("", [], True, (1, 1)),
        ("cat", [], True, (0, 0)),
        ("", ["cat"], True, (0, 0)),
        ("", ["the", "cat"], True, (0, 0)),
        ("cat", [], False, (0, 0)),
    ],
)
def test_worked_examples(answer, golds, no_answer, expected):
    assert score(answer, golds, no_answer) == pytest.approx(expected)
    assert reference(answer, golds, no_answer) == pytest.approx(expected)


def test_a_fingerprint_is_the_same_in_every_process():
    assert fingerprint("the Mongol Empire") == fingerprint("Mongol empire.") == FINGERPRINT


FINGERPRINT = 1608157007683928817
