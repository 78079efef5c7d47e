import io
import json
import re

import pytest
from rich.console import Console

from prunus.report import Report, frontier, html, tables
from prunus.report._frontier import held, plot, told, tried
from prunus.report._units import MINUS
from tests.report.sample import sample


def changed(**changes):
    return sample(frontier=sample().frontier.model_dump() | changes)


def test_a_report_without_a_search_reads_and_shows_none():
    old = json.loads(sample().model_dump_json())
    for key in ("frontier", "histories", "library"):
        del old[key]
    report = Report.model_validate(old)
    assert report.frontier is None
    assert (plot(report), frontier(report), tried(report)) == (None, None, [])
    assert "How far it can go" not in html(report)
    assert len(tables(report)) == len(tables(sample())) - 3


def test_a_report_with_a_search_reads_again():
    assert Report.model_validate_json(sample().model_dump_json()) == sample()


def test_rows_go_from_the_highest_density_down():
    rows = tried(sample())
    assert [row.density for row in rows] == ["0.5", "0.38", "0.25"]
    assert [row.cells[-1] for row in rows] == ["", "chosen", "too much"]
    assert rows[1].cells[:4] == ("38.0 %", "17.4 M", "92.30", f"{MINUS}0.90 ± 0.80")
    assert [row.chosen for row in rows] == [False, True, False]


def test_the_terminal_says_what_validation_says():
    console = Console(file=io.StringIO(), width=200)
    console.print(*tables(sample()))
    text = " ".join(console.file.getvalue().split())
    assert "At most 1 point may be lost on 1,000 examples of the development split" in text
    assert "4 evaluations, the dense model's included" in text
    assert f"the validation split, seen once, says {MINUS}1.30 ± 0.95 points" in text
    assert "chosen" in text


def test_a_split_that_the_recipe_names_was_not_drawn_for_it():
    assert "drawn" in told(sample().frontier)
    assert "drawn" not in told(changed(named=True).frontier)
    assert "At most 0.5 points" in told(changed(max_loss=0.5).frontier)


def test_numbers_that_are_none_are_not_shown_as_such():
    assert "says nothing" in held(changed(ahead=None).frontier)
    assert plot(changed(ahead=float("nan"))) is not None


@pytest.mark.parametrize("max_loss", [0.0, 1.0, 40.0])
def test_everything_lies_within_the_plot(max_loss):
    found = plot(changed(max_loss=max_loss))
    box, (dense, bound) = found.box, found.rules
    for dot in found.dots:
        assert box.left <= dot.x <= box.end
        assert box.top - 0.1 <= dot.high <= dot.y <= dot.low <= box.floor + 0.1
    assert box.top <= dense.at <= bound.at <= box.floor + 0.1
    assert 3 <= len(found.up) <= 12
    assert "0" in [tick.text for tick in found.up]
    assert [dot.x for dot in found.dots] == sorted((dot.x for dot in found.dots), reverse=True)


def test_the_page_has_a_plot_without_a_script():
    page = html(sample())
    section = re.search(r"<section>\s*<h2>How far it can go.*?</section>", page, re.DOTALL)[0]
    assert section.count("<circle") == 3
    assert section.count('class="strong"') == 2
    assert section.count('class="missed"') == 2
    assert "at most 1 point<" in section
    assert "<script" not in page
