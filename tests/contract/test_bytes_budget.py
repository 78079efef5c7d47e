"""A budget of bytes: the saved file is never larger, and takes what there is."""

import pytest

import prunus
from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.errors import PrunusError
from prunus.measure.size import around, bytes, parameters
from prunus.registry import build, parse
from prunus.select import Budget
from tests.tiny import FAMILIES, batch_of, tiny


def job(model, budget, **parts):
    settings = {"score": "magnitude", "select": "greedy", "recover": ()} | parts
    return job_of(
        model, anatomy(model).of("heads", "neurons"), [batch_of(model)], budget=budget, **settings
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_saved_file_is_at_most_as_large_as_was_asked(family, tmp_path):
    model = tiny(family)
    asked = int(0.85 * (4 * parameters(model) + around(model)))
    made = job(model, {"max_bytes": asked})
    small = finish(made, build("drive", "oneshot").run(made))
    prunus.save(small, tmp_path / "small")
    found = bytes(tmp_path / "small")
    assert found <= asked
    dearest = max(made.cost.price(name) for name in made.sites)
    assert asked - found < 4 * dearest + around(model)


def test_dtypes_count_with_their_bytes():
    single, double = tiny("bert"), tiny("bert").double()
    for model, wide in ((single, 4), (double, 8)):
        budget = job(model, {"max_bytes": around(model) + 10_000 * wide}).budget
        assert int(budget.density * parameters(model)) == 10_000
    with pytest.raises(PrunusError, match="nothing has to go"):
        job(tiny("bert").bfloat16(), {"max_bytes": around(single) + 40_000})


def test_rules_keep_their_own_density_within_the_size(tmp_path):
    model = tiny("bert")
    budget = {"max_bytes": 60_000, "rules": [{"match": ":heads", "floor": 1.0}]}
    made = job(model, budget)
    plan = build("drive", "oneshot").run(made)
    assert all(stays.all() for name, stays in plan.items() if name.endswith("heads"))
    prunus.save(finish(made, plan), tmp_path / "small")
    assert bytes(tmp_path / "small") <= 60_000


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"max_bytes": "10kB"}, r"10,000 were asked for; the smallest .* embeddings alone take \d"),
        ({"max_bytes": "50kB", "floor": 0.9}, r"the smallest that these sites, rules and floors"),
        ({"max_bytes": "1GB"}, r"1,000,000,000 were asked for, and the model takes .* nothing has"),
        (
            {"max_bytes": "50kB", "rules": [{"match": ".", "density": 0.5}]},
            "rules give every site a density of its own",
        ),
    ],
)
def test_sizes_that_cannot_be_are_told(budget, message):
    with pytest.raises(PrunusError, match=message):
        job(tiny("bert"), budget)


def test_the_smallest_size_that_is_told_can_be_had(tmp_path):
    model = tiny("bert")
    with pytest.raises(PrunusError) as told:
        job(model, {"max_bytes": 1})
    smallest = int(str(told.value).split("can make is ")[1].split(" bytes")[0].replace(",", ""))
    with pytest.raises(PrunusError, match="the smallest"):
        job(model, {"max_bytes": smallest - 4})
    made = job(model, {"max_bytes": smallest})
    prunus.save(finish(made, build("drive", "oneshot").run(made)), tmp_path / "small")
    assert bytes(tmp_path / "small") <= smallest


def test_one_call_takes_a_size_too():
    model = tiny("bert")
    small = prunus.prune(model, [batch_of(model)], budget={"max_bytes": "60kB"})
    assert parameters(small) < parameters(model)


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ("50MB", 50_000_000), ("48MiB", 50_331_648), ("1.5 GB", 1_500_000_000), ("500kB", 500_000),
        ("500kb", 500_000), ("64 KiB", 65_536), ("100B", 100), (12345, 12345),
    ],
)  # fmt: skip
def test_sizes_have_units(said, size):
    budget = parse(Budget, "budget", {"max_bytes": said})
    assert (budget.max_bytes, budget.metric, budget.of) == (size, "params", "model")
    told = budget.model_dump(mode="json", exclude_none=True)
    assert told["max_bytes"] == size
    assert "density" not in told
    assert parse(Budget, "budget", told) == budget


@pytest.mark.parametrize(
    ("said", "points"),
    [("1pt", 1), ("0.5pt", 0.5), ("2 pts", 2), ("1 point", 1), ("1.25 points", 1.25), ("0pt", 0)],
)
def test_losses_are_points(said, points):
    budget = parse(Budget, "budget", {"max_loss": said, "metric": "params"})
    assert budget.max_loss == points
    told = budget.model_dump(mode="json", exclude_none=True)
    assert told["max_loss"] == f"{points}pt"
    assert parse(Budget, "budget", told) == budget


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"max_bytes": "50M"}, "'50M' is no size: write 50MB"),
        ({"max_bytes": "50 XB"}, "is no size"),
        ({"max_bytes": "50.000.000"}, "is no size"),
        ({"max_bytes": "5iB"}, "is no size"),
        ({"max_bytes": -5}, "is no size"),
        ({"max_bytes": True}, "is no size"),
        ({"max_bytes": 1.5}, "is no size"),
        ({"max_bytes": "0MB"}, "more than nothing"),
        ({"max_loss": "1%"}, "'1%' is no loss: write 1pt or 0.5pt, points of the metric"),
        ({"max_loss": 0.01}, "0.01 is no loss: write 1pt"),
        ({"max_loss": "-1pt"}, "is no loss"),
        ({"max_loss": "1pt", "density": 0.5}, "got density and max_loss"),
        ({"max_loss": "1pt", "speedup": 2, "metric": "latency"}, "got speedup and max_loss"),
        ({"max_bytes": "1MB", "metric": "flops"}, "leave out metric and of (got metric: flops"),
        ({"max_bytes": "1MB", "of": "sites"}, "of: sites"),
        ({"max_bytes": "1MB", "scope": "local"}, "scope: local cuts every site by itself"),
    ],
)
def test_what_cannot_be_meant_is_told(said, message):
    with pytest.raises(PrunusError) as error:
        parse(Budget, "budget", said)
    assert message in str(error.value)
