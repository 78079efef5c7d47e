"""Recipes that compose models of a library: reports, recoveries, and what is refused."""

import json

import pytest
import torch
import yaml

import prunus
from prunus.drive._learning import Learning
from prunus.errors import PrunusError
from prunus.recipe import read
from prunus.recipe.check import check
from prunus.recipe.run import run
from prunus.report import Report
from tests.recipes.dense import wordpiece

DRAWN = "task.splits={train: 24, calibration: 8, validation: 20, development: 8}"
QUICK = (
    "latency=null", "evaluation.baselines=false", DRAWN, "calibration={samples: 8, batch_size: 2}",
    "score=magnitude", "recover=[least_squares, {name: modulewise, epochs: 1}]",
)  # fmt: skip
TWO = "configurations: {heads: [.5, .25], neurons: [.5, .5]}"


@pytest.fixture
def asked(place, tmp_path, in_process):
    """Reads a recipe over a library of this test."""
    said = yaml.safe_load((place / "recipe.yaml").read_text())
    del said["budget"]
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(said))

    def asked(drive, *changes):
        settings = f"drive={{name: library, folder: {tmp_path / 'library'}, {drive}}}"
        return read(path, (*QUICK, settings, *changes))

    return asked


@pytest.fixture
def composed(asked, tmp_path):
    """Runs such a recipe."""

    def composed(*said, out="out"):
        return run(asked(*said), tmp_path / out, quiet=True)

    return composed


def test_the_report_tells_where_every_module_came_from(composed, tmp_path):
    one = composed(TWO).library
    assert (one.configurations, one.pick, one.modules, one.used) == (2, 0, 6, 4)
    assert (one.reused, one.tuned, one.redone) == (0, 6, 0)
    assert one.folder == str(tmp_path / "library")
    assert one.seconds > 0
    assert one.cpu > 0
    rows = {(row.site, row.density): row for row in one.rows}
    assert len(rows) == 6
    assert [key for key, row in rows.items() if not row.used] == [
        ("encoder.layer.0:heads", 0.25), ("encoder.layer.1:heads", 0.25)
    ]  # fmt: skip
    for row in rows.values():
        assert not row.reused
        assert row.tuned <= row.closed
        assert row.loss is None
        assert [look.epoch for look in row.history] == [0, 1]
    other = composed(f"{TWO}, pick: 1", out="other").library
    assert (other.pick, other.used, other.reused, other.tuned) == (1, 4, 6, 0)
    assert all(row.reused for row in other.rows)
    assert {row.density for row in other.rows if row.used} == {0.25, 0.5}
    assert [row.tuned for row in other.rows] == [row.tuned for row in one.rows]


def test_a_broken_module_is_redone_and_told(composed, tmp_path):
    one = composed(TWO)
    path = next((tmp_path / "library").glob("??/*.safetensors"))
    path.write_bytes(path.read_bytes()[:-9])
    again = composed(TWO, out="again")
    assert (again.library.reused, again.library.tuned, again.library.redone) == (5, 0, 1)
    assert any(path.name in note and "made anew" in note for note in again.library.notes)
    assert again.plan == one.plan
    weights = [load(tmp_path / out) for out in ("out", "again")]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    assert path.name in (tmp_path / "again/report.html").read_text()


def load(folder):
    return prunus.load(folder / "model").state_dict()


def test_a_search_tells_the_losses_of_modules(composed, tmp_path):
    report = composed("densities: [.25, .5, .75]", "budget.density=.6")
    found = report.library
    assert (found.configurations, found.pick, found.modules) == (0, None, 12)
    assert all(row.loss >= 0 for row in found.rows)
    assert sum(row.used for row in found.rows) == found.used <= 4
    page = (tmp_path / "out/report.html").read_text()
    assert "Library" in page
    assert all(row.site in page for row in found.rows)
    again = Report.model_validate(json.loads((tmp_path / "out/report.json").read_text()))
    assert again.library == found


def test_without_repairs_there_is_nothing_but_the_cut(composed, tmp_path):
    found = composed(TWO, "recover=[]").library
    assert all(row.closed is None for row in found.rows)
    assert all(row.pruned == row.tuned for row in found.rows)
    assert all(row.history == () for row in found.rows)


def test_the_saved_recipe_is_read_and_run_again(composed, tmp_path):
    one = composed(f"{TWO}, pick: 1, recovery: 2, finish: least_squares", "training.batch_size=4")
    again = run(read(tmp_path / "out/recipe.yaml"), tmp_path / "again", quiet=True)
    assert again.plan == one.plan
    assert again.library.tuned == 0
    weights = [load(tmp_path / out) for out in ("out", "again")]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    said = [
        yaml.safe_load((tmp_path / out / "recipe.yaml").read_text()) for out in ("out", "again")
    ]
    assert said[0] == said[1]


def test_a_recovery_is_looked_at_and_ends_early(composed):
    report = composed(
        f"{TWO}, recovery: 6", "training={batch_size: 4, learning_rate: .002, eval_steps: 2}"
    )
    (history,) = report.histories
    assert [point.step for point in history.points] == [0, 2, 4, 6]
    assert report.library.tuned == 6
    wild = "training={batch_size: 4, learning_rate: 9, eval_steps: 1, patience: 2}"
    (history,) = composed(f"{TWO}, recovery: 9", wild, out="wild").histories
    assert len(history.points) == 3
    assert history.kept == min(history.points, key=lambda point: point.validation).step


@pytest.mark.parametrize("recovery", ["0.01 epochs", "1"])
def test_a_recovery_takes_so_many_steps(recovery, composed, monkeypatch):
    steps, train = [], Learning.train

    def watched(self, *args):
        steps.append(self.steps[0])
        return train(self, *args)

    monkeypatch.setattr(Learning, "train", watched)
    composed(f"{TWO}, recovery: {recovery}", "training.batch_size=4")
    assert steps == [1]


def test_weights_that_went_stay_away_in_a_recovery(composed, tmp_path):
    grid = "sites=[{grid: 1x1, match: '.*(query|key)'}]"
    said = "configurations: {grid: [.5]}, recovery: 3"
    tuned = "recover=[sparsegpt, {name: modulewise, epochs: 2}]"
    train = "training={batch_size: 4, learning_rate: .01}"
    report = composed(said, grid, tuned, train)
    weights = {n: own for n, own in load(tmp_path / "out").items() if n.endswith("query.weight")}
    assert weights
    assert all(int((own == 0).sum()) == own.numel() // 2 for own in weights.values())
    assert all(row.kind == "grid" and row.closed < row.pruned for row in report.library.rows)
    bare = composed("configurations: {grid: [.5]}", grid, tuned, out="bare")
    assert bare.library.tuned == 0
    before = load(tmp_path / "bare")
    assert all((own == 0).equal(before[name] == 0) for name, own in weights.items())
    assert not any(own.equal(before[name]) for name, own in weights.items())


def test_biases_learn_where_they_begin_at_zero(composed, place, tmp_path):
    dense = prunus.load(place / "dense")
    with torch.no_grad():
        for name, own in dense.named_parameters():
            if name.endswith("query.bias"):
                own.zero_()
    prunus.save(dense, tmp_path / "dense", wordpiece())
    grid = "sites=[{grid: 1x1, match: '.*query'}]"
    said = "recover=[{name: modulewise, epochs: 2}]"
    composed("configurations: {grid: [.3]}", grid, said, f"model={tmp_path / 'dense'}")
    biases = [own for n, own in load(tmp_path / "out").items() if n.endswith("query.bias")]
    assert biases
    assert all(own.any() for own in biases)


REFUSED = {
    "budget": ((TWO, "budget.density=.5"), r"they say how much stays; leave the budget out"),
    "neither": (("pick: 0",), r"say either configurations .* or densities"),
    "entry": ((TWO, "recover=[input_map, least_squares]"), r"input_map mends what a sublayer"),
    "compare": ((TWO, "compare=[random]"), r"compare: random makes further models"),
    "loss": (("densities: [.5]", "budget={max_loss: 1pt}"), r"budget.max_loss makes further"),
    "epochs": ((f"{TWO}, recovery: 2", "training.epochs=2"), r"training.epochs .* drive.recovery"),
    "training": ((TWO, "training.batch_size=2"), r"drive: library where it has a recovery"),
    "adapt": ((f"{TWO}, recovery: 2", "adapt=lora"), r"adapt: the recovery of drive: library"),
    "split": (
        (f"{TWO}, recovery: 2", "training={eval_steps: 2, eval_split: other}"),
        r"unknown split 'other'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case, composed):
    said, match = REFUSED[case]
    with pytest.raises(PrunusError, match=match):
        composed(*said)


def test_other_drives_do_not_tune_apart(place):
    recipe = read(place / "recipe.yaml", ("recover=[least_squares, modulewise]",))
    with pytest.raises(PrunusError, match=r"modulewise tunes every .*use drive: library"):
        run(recipe, place / "never", quiet=True)


@pytest.mark.parametrize("pick", [0, 1])
def test_what_a_configuration_keeps_is_known_before(pick, asked, composed, tmp_path):
    said = f"{TWO}, pick: {pick}"
    amounts = {own.metric: own.stays for own in check(asked(said)).amounts}
    assert not (tmp_path / "library").exists()
    report = composed(said)
    assert amounts["params"] == report.params.pruned
    assert amounts["units"] == [28, 26][pick]


def test_a_check_finds_what_a_run_would(asked):
    for said, match in (
        (("configurations: [{head: .5}]",), "Did you mean 'heads'"),
        ((TWO, "sites=layers", "recover=[]"), "is no module by itself"),
    ):
        with pytest.raises(PrunusError, match=match):
            check(asked(*said))
