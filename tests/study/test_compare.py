"""Runs side by side: what is marked, what is drawn, what differs, how large the page is."""

import re

import pytest

from prunus.cli import main
from prunus.errors import PrunusError
from prunus.report import html, write
from prunus.report._compared import pictures
from prunus.study._asked import asked
from prunus.study._columns import columns
from prunus.study._pareto import plots
from prunus.study._result import result_of
from prunus.study._wanted import Wanted
from prunus.study.compare import compare, found, page
from tests.report.sample import history, sample
from tests.report.test_html import Nesting
from tests.report.test_sensitivity import table

MOST = 5_000_000
"""Bytes of a page of thirty runs."""


def run_of(pruned, flops, speedup, size=60_000_000, **more):
    """A report of a run; ``more`` replaces fields."""
    whole = sample()
    timed = whole.latency_ms[0].model_dump() | {"speedup": speedup}
    return sample(**{
        "quality": whole.quality.model_dump() | {"pruned": pruned, "margin": 0.75},
        "flops": {"dense": 562_341_888, "pruned": flops},
        "bytes": {"dense": 90_000_000, "pruned": size},
        "latency_ms": [timed],
        **more,
    })  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    """Three runs: dense has 75.15."""
    reports = {
        "half": run_of(74.9, 300_000_000, 1.8, recipe={"budget": {"density": 0.5}, "seed": 0}),
        "third": run_of(74.2, 200_000_000, 2.6, recipe={"budget": {"density": 0.3}, "seed": 0}),
        "tenth": run_of(60.0, 60_000_000, 6.0, 20_000_000,
                        recipe={"budget": {"density": 0.1}, "seed": 0, "sites": ["heads"]}),
    }  # fmt: skip
    for name, report in reports.items():
        write(report, tmp_path / name)
    return [tmp_path / name for name in reports]


@pytest.mark.parametrize(
    ("bounds", "best"),
    [
        ({}, None),
        ({"max_loss": "1pt"}, "third"),
        ({"max_loss": "0.5pt"}, "half"),
        ({"speedup": 2}, "third"),
        ({"max_bytes": "30MB"}, "tenth"),
        ({"max_loss": "20pt"}, "tenth"),
        ({"max_loss": "20pt", "speedup": 2}, "third"),
        ({"max_loss": "1pt", "max_bytes": "30MB"}, None),
    ],
)
def test_the_best_that_keeps_the_bounds_is_marked(runs, bounds, best):
    made = compare(runs, asked(**bounds))
    assert made.marked == ({best} if best else set())
    chosen = {dot.name for own in plots(made.results, made.wanted).values() for plot in own
              for dot in plot.dots if "chosen" in dot.style}  # fmt: skip
    assert chosen == made.marked
    text = page(made)
    assert text.count("★") == 2 * len(made.marked)
    assert len(found(made)) == bool(bounds)
    if bounds and not best:
        assert "no run gives that" in text


def test_bounds_are_drawn_where_they_bind(runs):
    wanted = Wanted(max_loss=1.0, speedup=2.0, max_bytes=30_000_000)
    (drawn,) = plots(compare(runs).results, wanted).values()
    walls = {plot.below: [line for line in plot.lines if line.style == "bound"] for plot in drawn}
    assert [name for name, own in walls.items() if own] == ["time against the dense model", "bytes"]
    for plot in drawn:
        (dense,), (least,) = (
            [rule.at for rule in plot.rules if rule.style == style] for style in ("zero", "bound")
        )
        half = next(dot for dot in plot.dots if dot.name == "half")
        assert dense < half.y < least
        right = max(tick.at for tick in plot.across)
        assert all(float(line.points.split(",")[0]) <= right for line in walls[plot.below])


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"max_loss": "1"}, "max_loss: '1' is no loss: write 1pt"),
        ({"max_bytes": "much"}, "max_bytes: 'much' is no size"),
        ({"speedup": -1}, "speedup: Input should be greater than 0"),
    ],
)
def test_a_bound_that_says_nothing_is_told(bounds, message):
    with pytest.raises(PrunusError, match=message):
        asked(**bounds)


def test_what_was_measured_otherwise_is_not_compared():
    one = result_of("one", run_of(70.0, 10, 2.0))
    few = sample().quality.model_dump() | {"n": 100, "pruned": 90.0}
    two = result_of("two", run_of(70.0, 5, 2.0, quality=few))
    assert not plots([one, two])
    timed = sample().latency_ms[0].model_dump() | {"runtime": "openvino", "speedup": 3.0}
    other = result_of("other", run_of(71.0, 9, 2.0, latency_ms=[timed]))
    assert "timed with" in {column.title for column in columns([one, other])}
    (drawn,) = plots([one, other]).values()
    assert not [plot for plot in drawn if plot.below.startswith("time")]


def test_runtimes_are_never_mixed():
    times = {name: sample().latency_ms[0].model_dump() | {"runtime": name, "speedup": speedup}
             for name, speedup in (("torch-eager", 2.0), ("openvino", 3.0))}  # fmt: skip
    both = result_of("both", run_of(70.0, 10, 2.0, latency_ms=list(times.values())))
    other = result_of("other", run_of(71.0, 9, 2.0, latency_ms=[times["torch-eager"]]))
    assert both.speedup == 2.0
    assert both.timed == other.timed
    turned = result_of("turned", run_of(70.0, 10, 2.0, latency_ms=list(times.values())[::-1]))
    assert turned.speedup == 3.0
    assert turned.timed != other.timed


def test_curves_of_runs_that_measured_what_is_sensitive(runs, tmp_path):
    write(run_of(70.0, 10, 2.0, sensitivity=table()), tmp_path / "curious")
    assert "How sensitive" not in page(compare(runs))
    text = page(compare([*runs, tmp_path / "curious"]))
    assert "<summary>curious <small>Divergence of the answers" in text
    assert "encoder.layer.5:heads" in text.split("How sensitive")[1]
    assert not re.search(r"\b(src|href)\s*=|url\(|https?:|@import|<link", text)
    nesting = Nesting()
    nesting.feed(text)
    assert nesting.open == []


def test_only_settings_that_differ_are_shown(runs):
    text = page(compare(runs))
    titles = re.findall(r'<th scope="col"><button type="button">(.*?)</button>', text)
    assert {"budget.density", "sites"} <= set(titles)
    assert "seed" not in titles
    assert '<td data-of="sites" data-value="[heads]">[heads]</td>' in text


def test_the_page_loads_nothing_and_is_well_formed(runs):
    text = page(compare(runs, Wanted(max_loss=1.0)))
    assert "default-src 'none'" in text
    assert not re.search(r"\b(src|href)\s*=|url\(|https?:|@import|<link", text)
    nesting = Nesting()
    nesting.feed(text)
    assert nesting.open == []
    assert text.count("<details") == 3


def test_whatever_comes_from_a_run_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    report = run_of(70.0, 10, 2.0, task=evil, recipe={evil: evil}, kept={f"{evil}:x": [1, 2]})
    for name in ("a", "b"):
        write(report, tmp_path / name)
        report = report.model_copy(update={"recipe": {"b": evil}})
    text = page(compare([tmp_path / "a", tmp_path / "b"], Wanted(max_loss=90.0)))
    assert text.count("<script") == 1


def test_thirty_runs_of_a_deep_model_stay_small(tmp_path):
    kinds = ("heads", "neurons", "queries", "attention.output.dense:grid", "output.dense:grid")
    kept = {f"encoder.layer.{n}.{kind}": (n, 64) for n in range(48) for kind in kinds}
    looks = [(step, 2.0, 2.0 + 1 / (1 + step)) for step in range(200)]
    for n in range(30):
        recipe = {f"setting_{key}": key * n for key in range(40)}
        report = run_of(60.0 + n, 10**8 + n, 1.0 + n, kept=kept, recipe=recipe,
                        histories=[history("training", looks, quality=70.0)])  # fmt: skip
        write(report, tmp_path / f"run-{n}")
    assert len(page(compare(sorted(tmp_path.iterdir()))).encode()) < MOST


def test_the_command_line_marks_and_writes(runs, tmp_path, capsys):
    out = tmp_path / "page.html"
    bounds = ("--max-loss", "1pt", "--speedup", "1.5", "--out", str(out))
    assert main(["compare", *map(str, runs), *bounds]) == 0
    told = capsys.readouterr().out
    assert "half *" in told
    assert "At most 1 point lost, at least 1.50× as fast: half has the best quality" in told
    assert out.read_text().startswith("<!doctype html>")
    assert main(["compare", str(tmp_path), "--out", str(out)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_lines_of_many_runs_can_be_told_apart(tmp_path):
    looks = [(0, None, 2.5), (10, 1.9, 2.0)]
    for n in range(12):
        write(run_of(70.0, 10 + n, 2.0, histories=[history("training", looks)]), tmp_path / f"{n}")
    text = page(compare(sorted(tmp_path.iterdir())))
    styles = re.findall(r'<polyline class="(c\d line[^"]*)" points="[^ "]+ [^ "]+"><title>', text)
    assert len(styles) == len(set(styles)) == 12


def test_a_fine_tuning_is_no_run(tmp_path):
    said = '{"history": [], "kept": null, "loss": 1.0, "quality": null}'
    (tmp_path / "training.json").write_text(said)
    with pytest.raises(PrunusError, match="is a fine-tuning"):
        compare([tmp_path])


def test_what_else_could_have_been_done_is_drawn():
    (flops, time, weights) = pictures(sample())
    assert {dot.name for dot in flops.dots} == {"dense", "random", "pruned"}
    assert [dot.name for dot in time.dots if "chosen" in dot.style] == ["pruned"]
    assert weights.below == "weights"
    assert flops.title in html(sample())
    assert pictures(sample(compared=[])) == []
