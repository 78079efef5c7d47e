import io
import json

import pytest
from rich.console import Console

from prunus.report import Report, comparison, html
from prunus.report import _units as show
from prunus.report._compared import lines
from prunus.report._rows import rows
from tests.report.sample import sample


def with_detail(**changes):
    return sample(detail=sample().detail.model_dump() | changes)


def test_the_terminal_and_the_page_say_what_the_mean_hides():
    found = {row.label: row for row in rows(sample())}
    assert (found["flips"].pruned, found["flips"].change) == (
        "41 lost, 15 won",
        f"{show.MINUS}26 right",
    )
    assert found["calibration error"].change == "+2.22 points"
    worst = found["worst class: good"]
    assert (worst.dense, worst.pruned, worst.note) == (
        "70.75",
        "71.50",
        "% found of 1,100 examples",
    )
    text = html(sample())
    for shown in ("a film that is not good", "good (97.0 %)", "41 examples, 1 shown", "77.25"):
        assert shown in text


def test_what_a_task_does_not_have_is_not_on_the_page():
    answer = {"text": "1.20"}
    change = {"texts": ["a", "b"], "right": "1.00", "dense": answer, "pruned": answer}
    largest = {"largest_change": {"n": 9, "examples": [change]}}
    numbers = {"calibration_error": None, "recall": {}, "worst_class": None, "changes": largest}
    report = with_detail(**numbers)
    assert not {"flips", "calibration error"} & {row.label for row in rows(report)}
    text = html(report)
    assert "Class by class" not in text
    assert "largest change" in text
    assert "pruned <b>1.20</b>" in text


def test_spans_show_their_f1_and_nothing_as_nothing():
    change = {
        "texts": ["Who?"],
        "right": "",
        "dense": {"text": "nobody", "score": 0.5},
        "pruned": {"text": "", "score": 1.0},
    }
    changes = {"wrong_to_right": {"n": 1, "examples": [change]}}
    text = html(with_detail(changes=changes))
    for shown in ("right <b>no answer</b>", "nobody (F1 50.00)", "no answer (F1 100.00)"):
        assert shown in text


@pytest.mark.parametrize("place", ["texts", "right", "text"])
def test_what_examples_say_is_escaped(place):
    evil = "<script>alert(1)</script>"
    answer = {"text": evil if place == "text" else "good"}
    change = {"texts": [evil], "right": "x", "dense": answer, "pruned": answer}
    change |= {"right": evil} if place == "right" else {}
    recall = {evil: {"dense": 1.0, "pruned": 1.0, "n": 1}}
    changes = {"right_to_wrong": {"n": 1, "examples": [change]}}
    text = html(with_detail(changes=changes, recall=recall, worst_class=evil))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_long_text_is_cut_on_the_page_only():
    change = sample().detail.changes["right_to_wrong"].examples[0].model_dump()
    change["texts"] = ("word " * 500,)
    report = with_detail(changes={"right_to_wrong": {"n": 1, "examples": [change]}})
    assert "word …" in html(report)
    assert "word " * 100 not in html(report)
    assert "word " * 500 in report.model_dump_json()


def test_baselines_stand_between_the_dense_and_the_pruned_model():
    found = lines(sample())
    assert [line.name for line in found] == ["dense", "random", "int8", "pruned"]
    chance, none = found[1:3]
    assert chance.cells == ("70.10 ± 1.02", "+3.75 ± 1.50", "281 M", "17.4 M", "69.6 MB", "1.77×")
    assert chance.ahead == 1
    assert none.cells == ("–",) * 6
    assert none.made == "not made: no such function"
    assert found[3].strong
    assert found[3].cells[-1] == "1.88×"


@pytest.mark.parametrize(("ahead", "sign"), [(3.75, 1), (-3.75, -1), (1.4, 0), (-1.5, 0)])
def test_who_is_ahead_by_more_than_chance(ahead, sign):
    entry = sample().compared[0].model_dump() | {"ahead": ahead}
    assert lines(sample(compared=[entry]))[1].ahead == sign


def test_the_terminal_shows_the_baselines():
    console = Console(file=io.StringIO(), width=160)
    console.print(comparison(sample()))
    text = console.file.getvalue()
    for shown in ("+3.75 ± 1.50", "units drawn by chance", "batches of 8 by 24 tokens"):
        assert shown in text
    assert comparison(sample(compared=[])) is None
    assert "What else" in html(sample())
    assert "What else" not in html(sample(compared=[]))


def test_an_older_report_still_opens():
    data = json.loads(sample().model_dump_json())
    del data["detail"], data["compared"], data["touch_up"]
    report = Report.model_validate(data)
    assert report.detail is None
    assert "What changed" not in html(report)
    assert [row.label for row in rows(report)][:3] == ["accuracy", "agreement", "parameters"]
