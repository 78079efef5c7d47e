"""The page of a study: what sorts, what is best, what is escaped; and results read again."""

import base64
import csv
import hashlib
import re

import pytest

from prunus.cli import main
from prunus.errors import PrunusError
from prunus.report._pareto import pareto
from prunus.study import Published
from prunus.study._pareto import plots
from prunus.study._result import Result, read_results
from prunus.study._table import write


def result(name, pruned, density, **others):
    said = {
        "task": "sst2", "metric": "accuracy", "dense": 90.0, "ratio": None, "trained": None,
        "params": int(1e6 * density), "flops": int(1e9 * density), "speedup": 1 / density,
        "seconds": 61.0, "columns": {"score": name[:3], "seed": 0}, "published": Published(),
        "recipe": {"seed": 0},
    }  # fmt: skip
    return Result(name=name, pruned=pruned, density=density, **(said | others))


RESULTS = (
    result("obs-half", 88.0, 0.5),
    result("obs-tenth", 70.0, 0.1, published=Published(pruned=0.71)),
    result("mag-half", 85.0, 0.5, speedup=None),
    result("mag-tenth", 71.0, 0.1),
)


@pytest.fixture
def page(tmp_path):
    """Writes a study; gives its page."""

    def page(*results, failed=(), waiting=()):
        write(results, tmp_path, dict(failed), waiting)
        return (tmp_path / "study.html").read_text()

    return page


def test_the_only_script_is_the_one_that_the_page_allows(page):
    text = page(*RESULTS)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = re.search(r"script-src 'sha256-([^']+)'", text)[1]
    assert base64.b64decode(allowed) == hashlib.sha256(script.encode()).digest()
    assert not re.search(r"(src|href)=|url\(|https?:", text)


def test_cells_sort_by_what_they_hold(page):
    text = page(*RESULTS)
    assert '<td data-of="FLOPs" data-value="500000000">500 M</td>' in text
    assert '<td data-of="published pruned" data-value="0.71">71.00</td>' in text
    assert 'data-of="score"' in text
    assert 'data-of="seed"' not in text
    assert 'data-of="trained"' not in text
    assert text.count('<button type="button">') == len(re.findall(r'<th scope="col">', text))


def test_whatever_comes_from_a_sheet_is_escaped(page):
    bad = "<img src=x onerror=alert(1)>"
    text = page(
        result("a", 80.0, 0.5, columns={bad: bad}, task=bad),
        result("b", 81.0, 0.4, columns={}, task=bad),
        failed={"c": bad},
        waiting=[bad],
    )
    assert "<img" not in text


def test_what_is_not_finished_is_told(page):
    text = page(failed={"c": "too large"}, waiting=["d"])
    assert "0 finished runs" in text
    assert "c failed: too large" in text
    assert "d waits for its turn" in text


def test_no_other_result_is_as_good_and_costs_less():
    found = plots(RESULTS)["sst2, accuracy"]
    assert len(found) == 4
    timed = next(plot for plot in found if plot.below.startswith("time"))
    for plot in found:
        if plot is timed:
            continue
        assert {dot.name for dot in plot.dots if dot.style == "strong"} == {"obs-half", "mag-tenth"}
    assert "mag-half" not in {dot.name for dot in timed.dots}
    assert pareto([(1, 1), (1, 1), (2, 1), (1, 0)]) == [True, True, False, False]


def test_dots_and_names_lie_within_the_plot():
    for plot in plots(RESULTS)["sst2, accuracy"]:
        low, high = (sorted(tick.at for tick in plot.up)[end] for end in (0, -1))
        for dot in plot.dots:
            assert plot.box.left <= dot.x <= plot.box.width
            assert low <= dot.y <= high <= plot.box.floor
            assert dot.label is None or plot.box.left <= dot.label[0] <= plot.box.width
        assert all(dot.label for dot in plot.dots if dot.style == "strong")


def test_tasks_and_metrics_have_plots_of_their_own():
    others = [
        result(f"squad-{n}", 60.0 + n, 0.2 + n / 10, task="squad", metric="f1") for n in (1, 2)
    ]
    alone = result("alone", 1.0, 1.0, task="mrpc")
    assert set(plots([*RESULTS, *others, alone])) == {"sst2, accuracy", "squad, f1"}
    assert plots([RESULTS[0], RESULTS[2]]) == {}


def test_results_are_shown_again(page, tmp_path, capsys):
    page(*RESULTS)
    assert read_results(tmp_path) == RESULTS
    assert main(["study", "show", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "mag-tenth" in told
    assert str(tmp_path / "study.html") in told
    rows = list(csv.DictReader((tmp_path / "study.csv").read_text().splitlines()))
    assert [float(row["pruned"]) for row in rows] == [88, 70, 85, 71]
    assert (rows[2]["speed"], rows[0]["score"]) == ("", "obs")


def test_a_folder_without_a_study(tmp_path, capsys):
    assert main(["study", "show", str(tmp_path)]) == 2
    assert "give the --out folder of `prunus study run`" in capsys.readouterr().err
    (tmp_path / "study.json").write_text('[{"name": "a"}]')
    with pytest.raises(PrunusError, match="is not of a study"):
        read_results(tmp_path)
