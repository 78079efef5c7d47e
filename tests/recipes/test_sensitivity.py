"""What each site loses alone: as the shrunk model says, in time, kept as it comes; and what for."""

import json

import pytest
import torch

from prunus.anatomy import anatomy
from prunus.cli import main
from prunus.drive import shrink
from prunus.errors import PrunusError
from prunus.held import held
from prunus.plan import Plan
from prunus.probe import Teacher
from prunus.probe.loss import samples_of
from prunus.recipe import _sensitive, read
from prunus.recipe._journal import Journal
from prunus.recipe._open import data_of, open_model, processor_of
from prunus.recipe._parts import parts
from prunus.recipe.check import check
from prunus.recipe.run import run
from prunus.recipe.sensitivity import DENSITIES, sensitivity
from prunus.score import score
from prunus.sensitivity import Sensitivity

SPLITS = {"train": 16, "calibration": 12, "development": 12, "validation": 20}
CHANGES = [f"task.splits={json.dumps(SPLITS)}", "latency=null", "evaluation.baselines=false"]
LONG = 10.0
"""Minutes within which everything is measured."""


@pytest.fixture(scope="module")
def settings(place):
    def settings(*changes):
        return read(place / "recipe.yaml", [*CHANGES, "score=magnitude", "recover=[]", *changes])

    return settings


@pytest.fixture(scope="module")
def whole(place, settings):
    """The folder of a table in which nothing is missing."""
    sensitivity(settings("select=greedy"), place / "whole", minutes=LONG, quiet=True)
    return place / "whole"


@pytest.fixture
def clock(monkeypatch):
    """Every look at the clock costs a second."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(_sensitive, "perf_counter", lambda: float(next(ticks)))


def losses(table):
    return {(s.site, p.units): p.loss for s in table.sites for p in s.points}


@pytest.mark.parametrize(
    "sites",
    [["heads", "neurons"], ["channels"], ["sublayers"], [{"grid": [4, 4], "match": ".*query"}]],
)
def test_losses_are_those_of_the_shrunk_model(settings, sites, tmp_path):
    made = settings(
        f"sites={json.dumps(sites)}", "select=greedy", "budget={density: .5, metric: units}"
    )
    found = sensitivity(made, tmp_path, (0.5, 0.25, 0.0), LONG, quiet=True)
    assert found.complete
    model, chosen = open_model(found_model(made)), parts(made)
    prepared = data_of(made, chosen, model, processor_of(chosen.task, found_model(made)), "this")
    batches = prepared.batches("development")
    every = anatomy(model).chosen(made.sites)
    scores = score(model, prepared.batches("calibration"), every, chosen.score)
    teacher = Teacher(model, 1.0)
    assert found.samples == sum(map(samples_of, batches)) == 12
    assert losses(found)
    for name, units in losses(found):
        site = every[name]
        best = scores[name].flatten().argsort(descending=True, stable=True)[:units]
        stays = torch.zeros(site.units, dtype=torch.bool).index_fill(0, best, True)
        small = shrink(model, Plan({name: stays.reshape(site.shape)}), every)
        with torch.no_grad():
            true = sum(float(teacher(small, batch)) for batch in batches) / 12
        assert losses(found)[name, units] == pytest.approx(true, rel=1e-3, abs=1e-7)


def found_model(made):
    from prunus.recipe._open import folder_of

    return folder_of(made.model)


def test_counts_are_multiples_of_round_to(settings, tmp_path):
    made = settings("select=greedy", "budget.round_to=8", "sites=neurons")
    found = sensitivity(made, tmp_path, (0.9, 0.5, 0.2), LONG, quiet=True)
    assert [[point.units for point in own.points] for own in found.sites] == [[16, 8, 0]] * 2


def test_the_middle_comes_first_then_the_lowest(whole):
    rows = [json.loads(line) for line in (whole / "sensitivity.jsonl").read_text().splitlines()[1:]]
    order = [(row["site"], row["units"]) for row in rows]
    table = Sensitivity.read(whole)
    sites = [own.site for own in table.sites]
    assert order[: len(sites)] == [(name, 2 if "heads" in name else 12) for name in sites]
    assert order[len(sites) : 2 * len(sites)] == [(name, 0) for name in sites]
    assert table.complete
    assert len(order) == len(set(order)) == sum(len(own.points) for own in table.sites)
    assert {d for own in table.sites for p in own.points for d in p.asked} == set(DENSITIES)


def test_it_stops_in_time_and_goes_on(settings, whole, tmp_path, clock):
    made, calls = settings("select=greedy"), 0
    while True:
        found = sensitivity(made, tmp_path, minutes=0.2, quiet=True)
        calls += 1
        if found.complete:
            break
        assert found.seconds <= calls * 12
    assert calls > 2
    assert losses(found) == losses(Sensitivity.read(whole))
    again = sensitivity(made, tmp_path, minutes=0.2, quiet=True)
    assert losses(again) == losses(found)


def test_other_densities_are_added(settings, tmp_path, clock):
    made = settings("select=greedy", "sites=neurons")
    first = sensitivity(made, tmp_path, (0.5,), 0.2, quiet=True)
    assert losses(sensitivity(made, tmp_path, (0.25,), 0.001, quiet=True)) == losses(first)
    both = sensitivity(made, tmp_path, (0.25,), LONG, quiet=True)
    assert losses(first).items() < losses(both).items()
    assert [[point.asked for point in own.points] for own in both.sites] == [[(0.5,), (0.25,)]] * 2


def test_what_was_measured_outlives_an_interruption(settings, whole, tmp_path, monkeypatch):
    made, add = settings("select=greedy"), Journal.add

    def cut_off(journal, row):
        add(journal, row)
        if len(journal.rows) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "add", cut_off)
    with pytest.raises(KeyboardInterrupt):
        sensitivity(made, tmp_path, minutes=LONG, quiet=True)
    assert len(losses(Sensitivity.read(tmp_path))) == 5
    assert not Sensitivity.read(tmp_path).complete
    assert (tmp_path / "sensitivity.html").read_text().startswith("<!doctype html>")
    journal = tmp_path / "sensitivity.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])  # a line that was cut off in the middle
    measured = []
    monkeypatch.setattr(Journal, "add", lambda own, row: measured.append(row) or add(own, row))
    found = sensitivity(made, tmp_path, minutes=LONG, quiet=True)
    assert len(measured) == len(losses(found)) - 4
    assert losses(found) == losses(Sensitivity.read(whole))


def test_as_many_examples_as_everything_can_be_measured_on(settings, tmp_path, clock, monkeypatch):
    """A batch of 12 takes a second: half of 0.6 seconds for each of 20 points are 3 examples."""
    monkeypatch.setattr(_sensitive, "FEWEST", 2)
    found = sensitivity(settings("select=greedy"), tmp_path, minutes=0.2, quiet=True)
    assert found.samples == 3
    monkeypatch.setattr(_sensitive, "FEWEST", 9)
    found = sensitivity(settings("select=greedy"), tmp_path / "b", minutes=0.2, quiet=True)
    assert found.samples == 9


def test_the_metric_is_measured_where_it_is_asked_for(settings, tmp_path):
    found = sensitivity(settings("select=greedy"), tmp_path, (0.5,), LONG, True, quiet=True)
    assert found.metric == "accuracy"
    assert 0 <= found.dense <= 100
    assert all(0 <= p.quality <= 100 for own in found.sites for p in own.points)
    with pytest.raises(PrunusError, match=r"another metric: choose another folder"):
        sensitivity(settings("select=greedy"), tmp_path, (0.5,), LONG, quiet=True)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("score=random", "score"),
        ("calibration.samples=8", "calibration"),
        ("sites=neurons", "sites"),
        ("budget.round_to=4", "round_to"),
        ("seed=1", "calibration"),
    ],
)
def test_a_folder_of_other_measurements_is_refused(settings, whole, change, what):
    before = {path: path.read_bytes() for path in whole.iterdir() if path.name != "run.log"}
    with pytest.raises(PrunusError, match=f"is of another {what}"):
        sensitivity(settings("select=greedy", change), whole, minutes=LONG, quiet=True)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("densities", [(), (1.0,), (0.5, -0.1)])
def test_densities_that_say_nothing(settings, tmp_path, densities):
    with pytest.raises(PrunusError, match="from 0 on and below 1"):
        sensitivity(settings(), tmp_path, densities)


def test_too_little_time(settings, tmp_path, clock, monkeypatch):
    monkeypatch.setattr(_sensitive, "FEWEST", 2)
    with pytest.raises(PrunusError, match="too few: one measurement on 2 examples"):
        sensitivity(settings("select=greedy"), tmp_path, minutes=0.001, quiet=True)
    found = sensitivity(settings("select=greedy"), tmp_path, minutes=LONG, quiet=True)
    assert found.samples == 12


def test_a_broken_journal(tmp_path):
    (tmp_path / "sensitivity.jsonl").write_text('{"samples": 1}\nnothing\n')
    with pytest.raises(PrunusError, match=r"jsonl:2: no measurement"):
        Journal(tmp_path / "sensitivity.jsonl")


def test_the_command(place, tmp_path, capsys):
    arguments = [str(place / "recipe.yaml"), *CHANGES, "score=magnitude", "--densities", ".5", "0"]
    assert main(["sensitivity", *arguments, "--minutes", "5", "--out", str(tmp_path / "s")]) == 0
    told = capsys.readouterr().out
    assert "encoder.layer.0:heads" in told
    assert "50 %" in told
    assert str(tmp_path / "s" / "sensitivity.json") in told
    assert (
        main(["sensitivity", *arguments, "--minutes", "5", "--out", str(tmp_path / "s"), "--quiet"])
        == 0
    )
    assert capsys.readouterr().out == ""


# What it is for


def test_a_run_chooses_by_a_table(settings, whole, tmp_path, in_process):
    made = settings(f"select={json.dumps({'name': 'measured', 'table': str(whole)})}")
    assert check(made).sites
    report = run(made, tmp_path / "out", quiet=True)
    assert report.density.of_sites <= 0.5
    assert report.sensitivity is None


def test_a_run_measures_first(settings, whole, tmp_path, in_process):
    made = settings("select={name: measured, minutes: 10}")
    check(made)
    report = run(made, tmp_path / "out", quiet=True)
    assert losses(report.sensitivity) == losses(Sensitivity.read(whole))
    assert losses(Sensitivity.read(tmp_path / "out")) == losses(report.sensitivity)
    assert "How sensitive each site is" in (tmp_path / "out" / "report.html").read_text()
    by_table = settings(
        f"select={json.dumps({'name': 'measured', 'table': str(tmp_path / 'out')})}"
    )
    assert run(by_table, tmp_path / "again", quiet=True).kept == report.kept
    assert read(tmp_path / "out" / "recipe.yaml").select["minutes"] == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["score=taylor"], "in the order of score: {'name': 'magnitude'"),
        (["sites=[heads, neurons, sublayers]"], "no measurement of it"),
    ],
)
def test_a_table_of_something_else(settings, whole, tmp_path, changes, message):
    made = settings(f"select={json.dumps({'name': 'measured', 'table': str(whole)})}", *changes)
    for carry_out in (check, lambda own: run(own, tmp_path / "out", quiet=True)):
        with pytest.raises(PrunusError, match=message):
            carry_out(made)


def test_a_table_of_another_model(settings, whole, tmp_path):
    table = json.loads((whole / "sensitivity.json").read_text()) | {"weights": "0" * 64}
    (tmp_path / "sensitivity.json").write_text(json.dumps(table))
    made = settings(f"select={json.dumps({'name': 'measured', 'table': str(tmp_path)})}")
    with pytest.raises(PrunusError, match="measured on other weights"):
        run(made, tmp_path / "out", quiet=True)


def test_one_process_measures_in_a_folder(settings, tmp_path):
    told = pytest.raises(PrunusError, match="a sensitivity is going on there already")
    with held(tmp_path / ".sensitivity.lock", "me"), told:
        sensitivity(settings(), tmp_path, minutes=LONG, quiet=True)
