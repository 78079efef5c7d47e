"""Pictures: everything has its place in its box, and says what it is."""

import io
import re
from math import log10
from xml.etree import ElementTree

import pytest
from rich.console import Console

from prunus.report import html, library, training
from prunus.report._axes import decades
from prunus.report._curves import Series, curves
from prunus.report._levels import Level, Part, dumbbells, stacked
from prunus.report._modules import errors, kinds, told, tuning
from prunus.report._page import svg
from prunus.report._picture import Key
from prunus.report._trainings import looks, pictures, rows
from tests.report.sample import history, sample

REPORT = sample()
EVERY = [
    *pictures(REPORT.histories, "bleu"),
    *errors(REPORT.library).values(),
    *tuning(REPORT.library).values(),
]
SVG = "{http://www.w3.org/2000/svg}"


def places(line):
    return [tuple(map(float, point.split(","))) for point in line.points.split()]


def titled(title):
    return next(own for own in EVERY if own.title.startswith(title))


@pytest.mark.parametrize("picture", EVERY, ids=lambda own: own.title)
def test_everything_lies_in_its_box(picture):
    box = picture.box
    spots = [(dot.x, dot.y) for dot in picture.dots]
    spots += [spot for line in picture.lines for spot in places(line)]
    assert spots
    for x, y in spots:
        assert box.left - 0.1 <= x <= box.end + 0.1
        assert box.top - 0.1 <= y <= box.floor + 0.1
    assert all(0 <= key.x < box.width and box.floor < key.y < box.height for key in picture.keys)
    assert len(picture.across) >= 2


def test_trainings_follow_each_other():
    trainings = looks(REPORT.histories, 100.0)
    assert [[one.cpu for one in own] for own in trainings] == [[100, 110, 115], [115, 125]]
    assert [one.point.step for own in trainings for one in own if one.kept] == [10, 10]
    losses = titled("Losses")
    assert [line.style for line in losses.lines].count("wall") == 1
    assert [key.text for key in losses.keys] == ["training loss", "validation loss"]
    marks = [dot.title for dot in losses.dots]
    assert marks == ["loss 2 after step 10 of step 1", "loss 2.25 after step 10 of step 2"]


def test_a_training_loss_stands_in_the_middle_of_its_steps():
    lines = [line for line in titled("Losses").lines if "thin" in line.style]
    (first, second), *_ = map(places, lines)
    whole = [places(line) for line in titled("Losses").lines if line.style == "c0 line"]
    zero, ten, fifteen = (x for x, _ in whole[0])
    assert first[0] == pytest.approx((zero + ten) / 2, abs=0.1)
    assert second[0] == pytest.approx((ten + fifteen) / 2, abs=0.1)


def test_quality_is_drawn_where_it_was_measured():
    assert len(places(titled("bleu").lines[-1])) == 2
    alone = [own for own in pictures(REPORT.histories[:1], "bleu")]
    assert [own.title for own in alone] == ["Losses while the model was trained"]


def test_a_diverged_training_makes_a_picture_of_what_there_is():
    nan = float("nan")
    diverged = history("training", [(0, None, 2.0), (5, 1.0, 1.5), (10, nan, nan)])
    report = sample(histories=[diverged])
    (picture,) = pictures(report.histories, "bleu")
    assert len(places(picture.lines[-1])) == 2
    assert "nan" not in html(report).lower().replace("nano", "")


def test_losses_far_apart_have_a_logarithmic_axis():
    def ups(*values):
        series = Series("one", "c0 line", list(enumerate(values)))
        return [float(tick.text) for tick in curves("", [series], "", "").up]

    assert ups(1.5, 2.0, 6.0) == [1.5, 2, 3, 4, 5]
    assert ups(1.5, 2.0, 2.5) == pytest.approx([1.4, 1.6, 1.8, 2, 2.2, 2.4, 2.6])
    assert ups(0.0, 2.0, 8.0)[0] == 0
    series = Series("one", "c0 line", [(0, 1.0), (1, 10.0), (2, 100.0)])
    (line,) = curves("", [series], "", "").lines
    low, middle, high = (y for _, y in places(line))
    assert middle == pytest.approx((low + high) / 2, abs=0.1)


@pytest.mark.parametrize(("low", "high"), [(1.5, 6), (0.02, 0.3), (1e-6, 1.0), (3.0, 3000.0)])
def test_marks_of_a_logarithmic_axis_are_few_and_inside(low, high):
    found = decades(low, high)
    assert 2 <= len(found) <= max(7, log10(high / low) + 2)
    assert all(low <= value <= high for value in found)
    assert found == sorted(found)


def test_one_point_is_no_line():
    assert curves("", [Series("one", "c0 line", [(0, 1.0)])], "", "") is None
    assert curves("", [], "", "") is None


def test_a_legend_takes_as_many_lines_as_it_needs():
    few = [Key("c0 line", "a run")]
    many = [Key("c0 line", f"a run with a long name {n}") for n in range(6)]
    levels = [Level("one", [Part(1.0, "c0 bar", "one")])]
    short, long = (stacked("", levels, "", keys) for keys in (few, many))
    assert long.box.height > short.box.height
    assert len({key.y for key in long.keys}) == 3
    assert all(key.y < long.box.height for key in long.keys)


def test_bars_stand_one_after_another():
    parts = [Part(2.0, "c0 bar", "two"), Part(3.0, "c1 bar", "three")]
    made = stacked("", [Level("run", parts), Level("never", [])], "seconds", [])
    first, second = made.bars
    assert second.x == pytest.approx(first.x + first.width)
    assert second.width == pytest.approx(1.5 * first.width)
    assert second.x + second.width == pytest.approx(made.box.end)
    assert [tick.text for tick in made.up] == ["run", "never"]


def test_long_names_are_cut_off_at_their_beginning():
    name = "encoder.block.3.layer.1.DenseReluDense.wo · 0.25"
    made = dumbbells("", [Level(name, [Part(0.1, "", "")])], "", [])
    assert made.up[0].text.startswith("…")
    assert made.up[0].text.endswith("DenseReluDense.wo · 0.25")
    assert made.lines[0].title == name


def test_errors_go_from_pruned_to_tuned():
    heads = titled("Errors of heads")
    assert [dot.style for dot in heads.dots] == ["missed", "", "strong", "missed", "strong"]
    assert [tick.text for tick in heads.up] == ["encoder.layer.0 · 0.25", "encoder.layer.1 · 0.5"]
    assert heads.dots[0].x > heads.dots[1].x > heads.dots[2].x
    neurons = titled("Errors of neurons")
    assert [key.text for key in neurons.keys] == ["pruned", "tuned"]
    assert list(tuning(REPORT.library)) == ["neurons"]


def test_a_library_is_told():
    said = told(REPORT.library)
    assert "4 configurations name 3 distinct modules: 1 were in the library, 2 were tuned" in said
    assert "1 of them found broken" in said
    assert "configuration 1, is made of 2" in said
    searched = REPORT.library.model_copy(update={"pick": None})
    assert "as a search chose" in told(searched)
    assert dict(kinds(REPORT.library))["heads"] == ("2", "1", "0.38", "0.3", "0.038")


def test_the_terminal_tells_of_both():
    console = Console(file=io.StringIO(), width=200)
    console.print(training(REPORT), library(REPORT))
    text = " ".join(console.file.getvalue().split())
    assert "weights of step 10" in text
    assert "2 masks were edited by hand" in text
    assert rows(REPORT.histories)[0][1][:5] == ("15", "15 s", "1.8000", "2.5000", "2.0000")
    nothing = sample(histories=[], library=None)
    assert (training(nothing), library(nothing)) == (None, None)


def test_the_page_has_both_sections_or_none():
    text = html(REPORT)
    assert "<h2>Training</h2>" in text
    assert re.search(r"<h2>Library</h2>\s*<p>4 configurations", text)
    assert text.count("<polyline") > 5
    bare = html(sample(histories=[], library=None))
    assert "<h2>Training</h2>" not in bare
    assert "<h2>Library</h2>" not in bare


def test_names_of_modules_are_escaped():
    evil = "<b onload=x>"
    said = REPORT.library.model_dump()
    said["rows"][0]["site"], said["notes"] = f"{evil}:heads", [evil]
    assert "<b onload" not in html(sample(library=said))


@pytest.mark.parametrize("picture", EVERY, ids=lambda own: own.title)
def test_a_picture_is_a_file_of_its_own(picture):
    text = svg(picture)
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert float(root.get("height")) == picture.box.height
    assert root.find(f"{SVG}title").text == picture.title
    assert "prefers-color-scheme: dark" in text
    assert "{{" not in text
    styled = {word for own in root.iter() for word in (own.get("class") or "").split()}
    assert styled - {"plot"} <= set(re.findall(r"\.([a-z]\w*)", text))


def test_the_page_and_the_file_draw_alike():
    picture = titled("Losses")
    drawn = re.search(r'<svg class="plot" viewBox="0 0 440.0 298.0".*?</svg>', html(REPORT), re.S)
    inner = ElementTree.fromstring(drawn[0])
    alone = ElementTree.fromstring(svg(picture))
    lines = [own.get("points") for own in alone.iter(f"{SVG}polyline")]
    assert [own.get("points") for own in inner.iter("polyline")] == lines
