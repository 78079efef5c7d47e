"""Schedules: their curves, when masks are chosen, and what is said of times that do not fit."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prunus.errors import PrunusError
from prunus.registry import build, names, spelt
from prunus.schedule import Schedule, Times
from prunus.schedule._span import Length
from tests.training import CURVES


def test_every_schedule_has_a_reference():
    assert set(names("schedule")) == set(CURVES)


@pytest.mark.parametrize("name", CURVES)
@given(st.floats(0, 1), st.floats(0.001, 1))
def test_a_curve_is_what_its_formula_says(name, way, final):
    assert build("schedule", name).density(way, final) == pytest.approx(CURVES[name](way, final))


@pytest.mark.parametrize("name", CURVES)
@given(st.floats(0.001, 1))
def test_a_curve_falls_from_all_to_what_is_asked_for(name, final):
    densities = [build("schedule", name).density(step / 50, final) for step in range(51)]
    assert densities[0] == 1
    assert densities[-1] == pytest.approx(final, abs=1e-12)
    assert all(before >= after - 1e-12 for before, after in pairwise(densities))


def test_curves_by_hand():
    half = {name: build("schedule", name).density(0.5, 0.2) for name in CURVES}
    assert half == pytest.approx(
        {
            "linear": 0.6, "exponential": 0.44721, "cosine": 0.765685, "cube": 0.9, "cubic": 0.3,
            "one_shot": 0.2,
        },
        abs=1e-5,
    )  # fmt: skip


# Lengths


@pytest.mark.parametrize(
    ("written", "number", "epochs", "told"),
    [
        (100, 100, False, "100 steps"),
        ("100", 100, False, "100 steps"),
        (" 100 steps ", 100, False, "100 steps"),
        ("1 step", 1, False, "1 steps"),
        (2.0, 2, False, "2 steps"),
        ("1 epoch", 1, True, "1 epochs"),
        ("1.5epochs", 1.5, True, "1.5 epochs"),
        (Length(3, epochs=True), 3, True, "3 epochs"),
    ],
)
def test_lengths_as_people_write_them(written, number, epochs, told):
    found = Length.parse(written)
    assert (found.number, found.epochs, str(found)) == (number, epochs, told)
    assert Length.parse(str(found)) == found


@pytest.mark.parametrize("wrong", ["", "ten", "-5", "1.5", 1.5, "5 hours", True, None, "epochs"])
def test_what_is_no_length(wrong):
    with pytest.raises(PrunusError, match=r"write 100 \(steps\) or 1.5 epochs|steps are whole"):
        Length.parse(wrong)


def test_epochs_need_to_be_known():
    assert Length.parse("1.5 epochs").steps(5) == 7
    assert Length.parse(7).steps(None) == 7
    with pytest.raises(PrunusError, match=r"1.5 epochs: say how many steps an epoch has"):
        Length.parse("1.5 epochs").steps(None)


def test_a_schedule_can_be_written_and_read_again():
    made = build("schedule", {"name": "cubic", "warmup": "1 epoch", "every": 5})
    told = made.model_dump(mode="json")
    assert told["warmup"] == "1 epochs"
    assert build("schedule", {"name": "cubic", **told}) == made


# Times


@given(st.integers(1, 200), st.integers(0, 60), st.integers(0, 60), st.integers(1, 40))
def test_masks_are_chosen_every_so_often_between_warmup_and_cooldown(steps, before, after, every):
    assume(before + after + every <= steps)
    settings = {"name": "linear", "warmup": before, "cooldown": after, "every": every}
    times = build("schedule", settings).times(steps)
    due = [done for done in range(steps + 1) if times.due(done)]
    assert due == list(range(before, steps - after + 1, every))
    assert [times.way(done) for done in due] == pytest.approx(
        [place / (len(due) - 1) for place in range(len(due))]
    )
    assert times.way(due[0]) == 0
    assert times.way(due[-1]) == times.way(steps) == 1
    assert times.last_due == due[-1]
    ways = [times.way(done) for done in range(steps + 1)]
    assert ways == sorted(ways)
    assert all(
        now == before for done, (before, now) in enumerate(pairwise(ways), 1) if done not in due
    )


@given(st.integers(1, 5000))
def test_forty_choices_unless_said_otherwise(steps):
    times = build("schedule", "cubic").times(steps)
    assert times.every == max(1, (steps + 1) // 40)
    assert min(40, steps) <= times.last + 1 <= 81


def test_one_shot_is_one_choice_after_the_warmup():
    times = build("schedule", {"name": "one_shot", "warmup": "2 epochs"}).times(50, epoch=10)
    assert [done for done in range(51) if times.due(done)] == [20]
    assert [times.way(done) for done in (0, 19, 20, 50)] == [0, 0, 1, 1]


def test_epochs_become_steps():
    schedule = {"name": "linear", "warmup": "1 epoch", "cooldown": "0.5 epochs", "every": 3}
    assert build("schedule", schedule).times(40, epoch=10) == Times(10, 35, 3)
    assert build("schedule", {"name": "linear", "every": "0.01 epochs"}).times(9, 10).every == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"every": 101}, "masks every 101 steps, but there are only 100 steps"),
        ({"every": "11 epochs"}, "masks every 110 steps, but there are only 100 steps"),
        ({"warmup": 95, "every": 10}, "masks every 10 steps, but there are only 5 steps"),
        ({"warmup": 60, "cooldown": 60}, "start after 60 steps and end after 40: shorten"),
        ({"cooldown": 101}, "start after 0 steps and end after -1: shorten"),
        ({"warmup": "11 epochs"}, "start after 110 steps and end after 100"),
    ],
)
def test_a_training_that_is_too_short(settings, told):
    with pytest.raises(PrunusError, match=told):
        build("schedule", {"name": "linear", **settings}).times(100, epoch=10)


def test_one_shot_after_the_end():
    with pytest.raises(PrunusError, match="end after 101 steps, but the training has 100"):
        build("schedule", {"name": "one_shot", "warmup": 101}).times(100)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"every": 0}, "cannot be chosen every 0 steps"),
        ({"warmup": "soon"}, "'soon' is no length of training"),
        ({"frequency": 3}, "frequency"),
    ],
)
def test_settings_that_mean_nothing(settings, told):
    with pytest.raises(PrunusError, match=told):
        build("schedule", {"name": "linear", **settings})


def test_epochs_of_nobody_knows_how_many_steps():
    with pytest.raises(PrunusError, match="say how many steps an epoch has"):
        build("schedule", {"name": "linear", "warmup": "1 epoch"}).times(100)


class Late(Schedule):
    """A schedule from elsewhere."""

    power: int = 5

    def density(self, way, final):
        return 1 - (1 - final) * way**self.power


@pytest.mark.parametrize("schedule", [Late(power=7), build("schedule", "cubic")])
def test_a_part_is_built_again_from_how_it_is_spelt(schedule):
    assert build("schedule", spelt(schedule)) == schedule
