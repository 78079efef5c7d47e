import json
import random

import pytest
import torch
from safetensors.torch import load_file

import prunus
from prunus import score
from prunus.anatomy import anatomy
from prunus.drive import finish, job_of, shrink
from prunus.errors import PrunusError
from prunus.measure.size import parameters
from prunus.plan import Plan
from prunus.recipe import read
from prunus.recipe._bracket import bisect, lowest
from prunus.recipe.check import check
from prunus.recipe.furthest import EVALUATIONS, densities, furthest
from prunus.recipe.run import run
from prunus.registry import build
from prunus.report import Report
from prunus.task import Difference, assess
from tests.recipes.dense import reviews
from tests.tiny import batch_of, tiny

GRID = [step / 100 for step in range(1, 100)]
MOST = EVALUATIONS - 1
SPLITS = {"train": 16, "calibration": 12, "development": 12, "validation": 20}


def searched(ahead, margin, most_loss=1.0, grid=GRID):
    """The answer of a search over a planted function, and how often it asked."""
    asked = []

    def measure(density):
        asked.append(density)
        return Difference(ahead(density), margin)

    tried = bisect(grid, measure, most_loss, MOST)
    assert list(tried) == asked
    assert len(set(asked)) == len(asked) <= MOST
    return lowest(tried, most_loss), len(asked)


@pytest.mark.parametrize("margin", [0.0, 0.5, 100.0])
@pytest.mark.parametrize("least", range(1, 101))
def test_the_lowest_density_of_a_rising_function_is_found(least, margin):
    found, asked = searched(lambda d: -2.0 if d < least / 100 - 1e-9 else -0.5, margin)
    assert found == (least / 100 if least < 100 else None)
    assert asked <= 7 or margin > 1


@pytest.mark.parametrize("grid", [[0.5], [0.2, 0.9], GRID[40:]])
def test_short_grids_are_gone_through(grid):
    for crossing in (0.0, *grid):
        found, _ = searched(
            lambda d, crossing=crossing: 0.0 if d > crossing else -2.0, 0.1, 1, grid
        )
        assert found == min((d for d in grid if d > crossing), default=None)


def test_what_is_as_much_as_was_allowed_is_allowed():
    assert searched(lambda d: 100 * (d - 1) / 10, 0.0, 2.0)[0] == 0.8


@pytest.mark.parametrize("seed", range(200))
def test_noise_neither_breaks_the_bound_nor_costs_much(seed):
    chance = random.Random(seed)
    crossing, noise = chance.uniform(0.05, 0.95), 0.5
    wobble = {d: chance.gauss(0, noise) for d in GRID}

    def ahead(density):
        return -1 + 10 * (density - crossing) + wobble[density]

    found, _ = searched(ahead, 1.96 * noise)
    best = min((d for d in GRID if ahead(d) >= -1), default=None)
    assert best is not None
    assert found is not None
    assert ahead(found) >= -1
    assert best <= found <= crossing + 0.1


def test_a_miss_by_chance_is_looked_below():
    """At 0.5 the truth is met, and missed by chance: bisection alone would end at 0.51."""

    def ahead(density):
        return -1.2 if density == 0.5 else -0.5 if density > 0.3 else -3.0

    assert searched(ahead, 0.1)[0] == 0.51
    assert searched(ahead, 0.5)[0] < 0.4


# Models


def job(budget, **parts):
    model = tiny("bert", "BertForSequenceClassification", num_labels=2)
    settings = {"score": "magnitude", "select": "greedy", "recover": ()} | parts
    return job_of(
        model, anatomy(model).of("heads", "neurons"), [batch_of(model, size=4, length=8)],
        budget=budget, **settings,
    )  # fmt: skip


def planted(dense, points):
    """Judges models by their size: the share of the parameters that went, times ``points``."""

    def evaluate(model, _):
        wrong = round(10 * points * (1 - parameters(model) / dense))
        answers = (torch.arange(1000) < wrong).long()
        return assess(answers, torch.zeros(1000, dtype=torch.long), ["accuracy"])

    return evaluate


@pytest.mark.parametrize("drive", ["oneshot", "sweep", "iterative"])
@pytest.mark.parametrize("of", ["sites", "model"])
def test_the_search_finds_what_going_through_all_finds(drive, of, monkeypatch):
    monkeypatch.setattr("prunus.recipe.furthest.GRAIN", 20)
    made, how = job({"max_loss": "1pt", "of": of}), build("drive", drive)
    judge = planted(parameters(made.model), 3)
    found = furthest(made, how, judge, 1.0)
    good = {}
    for density in densities(made):
        plain = job({"density": density, "of": of})
        plan = how.run(plain)
        good[density] = judge(finish(plain, plan), "").value >= 99, plan
    best = min(density for density, (met, _) in good.items() if met)
    assert 0.05 < best < 0.95
    assert found.job.budget.density == best
    assert found.plan == good[best][1]
    assert parameters(found.model) == parameters(shrink(made.model, found.plan))
    assert len(found.probes) < EVALUATIONS


def test_scores_are_made_once_and_shared(monkeypatch):
    looks = []
    look = score.look
    monkeypatch.setattr("prunus.drive._job.look", lambda *a: looks.append(1) or look(*a))
    parts = {"score": "obs", "select": "curves", "recover": ["reselect", "least_squares"]}
    made = job({"max_loss": "1pt"}, **parts)
    found = furthest(made, build("drive", "oneshot"), planted(parameters(made.model), 3), 1.0)
    assert len(found.probes) > 3
    assert len(looks) == 1
    plain = job({"density": found.job.budget.density}, **parts)
    plan = build("drive", "oneshot").run(plain)
    assert plan == found.plan
    weights, mine = finish(plain, plan).state_dict(), found.model.state_dict()
    assert all(torch.equal(mine[name], weights[name]) for name in weights)


def test_nothing_that_loses_little_enough_is_told():
    made = job({"max_loss": "1pt"})
    calls = []

    def worse(model, which):
        calls.append(which)
        wrong = 0 if which == "dense" else 50
        answers = (torch.arange(1000) < wrong).long()
        return assess(answers, torch.zeros(1000, dtype=torch.long), ["accuracy"])

    with pytest.raises(PrunusError, match=r"max_loss: none of .* within 1pt .* 100\.00 .* -5\.00"):
        furthest(made, build("drive", "oneshot"), worse, 1.0)
    assert calls[0] == "dense"
    assert len(calls) <= EVALUATIONS


def test_rules_keep_their_own_density_and_leave_the_rest_to_the_search():
    rule = {"match": ":heads", "density": 0.75}
    made = job({"max_loss": "1pt", "rules": [rule], "floor": 0.1})
    found = furthest(made, build("drive", "oneshot"), planted(parameters(made.model), 3), 1.0)
    for probe in found.probes:
        heads = [stays.sum() for name, stays in probe.plan.items() if name.endswith("heads")]
        assert sum(heads) == 6
    every = [rule, {"match": ":neurons", "density": 0.5}]
    with pytest.raises(PrunusError, match="rules give every site a density of its own"):
        densities(job({"max_loss": "1pt", "rules": every}))


@pytest.mark.parametrize(
    "budget",
    [
        {"metric": "params", "of": "model"},
        {"metric": "units", "floor": 0.26},
        {"scope": "local", "floor": 0.3},
        {"of": "model", "rules": [{"match": ":heads", "density": 0.9}]},
    ],
)
def test_the_lowest_density_can_be_met_and_the_next_lower_cannot(budget):
    made = job({"max_loss": "1pt", **budget})
    low = densities(made)[0]
    found = made.score(Plan())
    assert made.choose(found, Plan(), made.budget.settled(low))
    assert low > 0.1
    with pytest.raises(PrunusError, match="the floors alone"):
        made.choose(found, Plan(), made.budget.settled(low - 0.011))


def test_a_budget_that_nothing_is_left_of_is_told():
    with pytest.raises(PrunusError, match="nothing to search; lower the floors"):
        densities(job({"max_loss": "1pt", "floor": 1.0}))


def test_a_loss_needs_a_task():
    with pytest.raises(PrunusError, match="max_loss: how much may stay is found by measuring"):
        prunus.prune(tiny("bert"), [batch_of(tiny("bert"))], budget={"max_loss": "1pt"})


# Runs


@pytest.fixture(scope="module")
def split(place, tmp_path_factory):
    """The recipe with a development split, and the folder of its search."""
    changes = [f"task.splits={json.dumps(SPLITS)}", "calibration.samples=12", "latency=null"]
    out = tmp_path_factory.mktemp("search") / "out"
    run(read(place / "recipe.yaml", changes, {"max_loss": "10pt"}), out, quiet=True)
    return changes, out


def test_a_run_reports_the_frontier_that_it_walked(split):
    _, out = split
    report = Report.model_validate_json((out / "report.json").read_text())
    found = report.frontier
    assert (found.max_loss, found.split, found.n, found.named) == (10, "development", 12, True)
    assert 0 < len(found.steps) < EVALUATIONS
    (chosen,) = [step for step in found.steps if step.density == found.chosen]
    assert chosen.met
    assert chosen.quality - found.dense == pytest.approx(chosen.ahead)
    assert chosen.ahead >= -10
    assert all(step.met == (step.ahead >= -10) for step in found.steps)
    assert found.chosen == min(step.density for step in found.steps if step.met)
    assert (chosen.params, chosen.flops) == (report.params.pruned, report.flops.pruned)
    assert chosen.of_model == report.density.of_model
    assert found.held == "validation"
    assert found.ahead == pytest.approx(report.quality.pruned - report.quality.dense)
    assert "How far it can go" in (out / "report.html").read_text()
    log = (out / "run.log").read_text()
    assert log.count("score\n") <= 1
    assert log.count(", development: ") == len(found.steps) + 1
    assert log.count(", validation: ") == 0


def test_the_saved_recipe_searches_again(split):
    _, out = split
    again = read(out / "recipe.yaml")
    assert again.budget["max_loss"] == "10pt"
    assert "density" not in again.budget


def test_the_chosen_model_is_that_of_a_plain_run(place, split, tmp_path):
    changes, out = split
    density = json.loads((out / "report.json").read_text())["frontier"]["chosen"]
    more = [*changes, f"budget.density={density}", "evaluation.baselines=false"]
    report = run(read(place / "recipe.yaml", more), tmp_path / "plain", quiet=True)
    assert report.frontier is None
    one, two = (Plan.load(path / "plan.safetensors") for path in (out, tmp_path / "plain"))
    assert one == two
    weights = [load_file(p / "model/model.safetensors") for p in (out, tmp_path / "plain")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_preview_says_how_far_a_search_could_go(place, split):
    changes, _ = split
    settings = read(place / "recipe.yaml", [*changes, "budget.floor=.2"], {"max_loss": "1pt"})
    found = check(settings)
    assert found.density >= 0.2
    work = next(amount for amount in found.amounts if amount.metric == "flops")
    assert work.stays - (work.whole - work.sites) <= found.density * work.sites


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["task.splits.development=validation"], None),
        (["evaluation.split=development"], "'development' of the report or the calibration shares"),
        (["calibration.split=development"], "'development' of the report or the calibration"),
        (["task.splits.validation=train"], "development asks for 1000 rows"),
        ([], "development asks for 1000 rows.* max_loss measures on 1000 rows unless"),
    ],
)
def test_the_search_measures_on_rows_of_its_own(place, changes, message, tmp_path):
    settings = read(place / "recipe.yaml", changes, {"max_loss": "1pt"})
    for carry_out in (check, lambda recipe: run(recipe, tmp_path / "out", quiet=True)):
        with pytest.raises(PrunusError, match=message or "unknown split 'validation'"):
            carry_out(settings)


def test_a_slice_is_drawn_where_the_recipe_names_none(place, tmp_path):
    data = reviews(tmp_path / "many.csv", rows=1100)
    splits = {"calibration": 16, "validation": 20}
    changes = [f"task.data={data}", f"task.splits={json.dumps(splits)}", "latency=null"]
    settings = read(place / "recipe.yaml", [*changes, "recover=[]"], {"max_loss": "30pt"})
    found = run(settings, tmp_path / "out", quiet=True).frontier
    assert (found.n, found.named) == (1000, False)
