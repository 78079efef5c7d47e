"""The sheet of block-spa-experiments: its rows as runs, and two steps of each on tiny twins."""

import logging
import os
from collections import Counter
from pathlib import Path

import pytest
from openpyxl import Workbook

from prunus.adapt import adapted
from prunus.errors import PrunusError
from prunus.recipe._bars import Bars
from prunus.recipe._parts import parts
from prunus.recipe._stage import Stage
from prunus.recipe._steps import open_all, prune
from prunus.study import chosen, read_sheet
from tests import berts

BOOK = Path(os.environ.get("PRUNUS_DATA", "/nowhere")) / "hparams/hyperparameters.xlsx"
published = pytest.mark.skipif(not BOOK.is_file(), reason="the published sheet is not here")
RESULTS = {"MNLI": ("acc", "ent", "acc", "ent"), "SQuAD": ("EM", "F1"), "QQP": ("acc", "acc&f1")}
ARGUMENTS = (
    "per_gpu_train_batch_size", "warmup_steps", "num_train_epochs", "max_seq_length",
    "learning_rate", "mask_scores_learning_rate", "initial_threshold", "final_threshold",
    "initial_warmup", "final_warmup", "pruning_method", "mask_init", "mask_scale",
    "regularization", "final_lambda", "teacher_type", "teacher_name_or_path", "alpha_ce",
    "alpha_distil", "num_splopa_prototypes", "splopa_prototype_rank", "splopa_init_range",
)  # fmt: skip
USUAL = dict(zip(ARGUMENTS, (16, 100, 2, 384, 3e-5, None, 1, 0.3, 1, 2), strict=False))
SCORED = {"mask_scores_learning_rate": 1e-2, "mask_init": "constant", "mask_scale": 0}
MOVEMENT = {"pruning_method": "topK", **SCORED}
SOFT = {"pruning_method": "sigmoied_threshold", "initial_threshold": 0, "final_threshold": 0.1,
        "regularization": "l1", "final_lambda": 50, **SCORED}  # fmt: skip
L0 = {"pruning_method": "l0", "final_threshold": 1, "regularization": "l0", "final_lambda": 10,
      **SCORED, "mask_scale": 2.197}  # fmt: skip
TEACHER = {
    "teacher_type": "bert",
    "teacher_name_or_path": "x",
    "alpha_ce": 0.1,
    "alpha_distil": 0.9,
}
SPLOPA = {"num_splopa_prototypes": 8, "splopa_prototype_rank": 2, "splopa_init_range": 1e-4}
EVERY = {
    "b1-magnitude": {"pruning_method": "magnitude"},
    "b2-magnitude": {"pruning_method": "threshold"},
    "b3-magnitude": {"pruning_method": "magnitude", **TEACHER},
    "c2-l0": L0,
    "c4-l0": {**L0, **TEACHER},
    "d1-movement": MOVEMENT,
    "d2-movement": {**MOVEMENT, "pruning_method": "threshold"},
    "d4-movement": {**MOVEMENT, "pruning_method": "threshold", **TEACHER},
    "e2-soft-movement": SOFT,
    "b1-magnitude-splopa-8": {"pruning_method": "magnitude", **SPLOPA},
    "c2-l0-splopa-8": {**L0, **SPLOPA},
    "d1-movement-splopa-8": {**MOVEMENT, **SPLOPA},
    "e2-soft-movement-splopa-8": {**SOFT, **SPLOPA},
}
SHORT = (
    "training.max_steps=2", "training.batch_size=2", "training.warmup_steps=0",
    "drive.schedule.warmup=0", "drive.schedule.cooldown=0", "drive.schedule.every=1",
    "calibration.samples=4", "calibration.batch_size=4",
)  # fmt: skip
DENSE = {"per_gpu_train_batch_size": 16, "warmup_steps": 100, "num_train_epochs": 3}


@pytest.fixture
def book(tmp_path):
    """Writes a workbook: of every worksheet (group, remaining %, results, arguments)."""

    def book(**sheets):
        made = Workbook()
        made.active.append(("HP Name", "HP Explanation"))
        for name, rows in sheets.items():
            sheet = made.create_sheet(f"Details - {name}")
            heads = ("Model", "EXP ID", "Effective encoder remain weights %", *RESULTS[name])
            sheet.append((None, "bert-base-uncased/92", "seed=92", None, "dev"))
            sheet.append((None, *heads, None, *ARGUMENTS))
            for group, remains, results, said in rows:
                blank = [None] * (len(RESULTS[name]) - len(results))
                values = [said.get(title) for title in ARGUMENTS]
                sheet.append((None, None, group, remains, *results, *blank, None, *values))
        made.save(tmp_path / "book.xlsx")
        return tmp_path / "book.xlsx"

    return book


def row(said, remains=30.05, results=(70.0, 80.0)):
    return ("own_*_id", remains, results, {**USUAL, **said})


def only(path):
    (found,) = read_sheet(path)
    return found


@pytest.mark.parametrize("name", EVERY)
def test_every_method_has_its_code_and_its_recipe(name, book):
    found = only(book(SQuAD=[row(EVERY[name])]))
    recipe = found.recipe
    assert found.name == f"squad-{name}-30.1"
    splopa = "splopa" in name
    assert (recipe.adapt is not None) == splopa
    if splopa:
        own = {"prototypes": 8, "rank": 2, "block": "32x32", "learning_rate": 1e-3}
        assert own.items() <= recipe.adapt.items()
    scope = recipe.budget["scope"]
    assert scope == ("global" if name[:2] in ("b2", "d2", "d4") else "local")
    schedule = recipe.drive["schedule"]
    assert schedule["every"] == {"global": "25 steps", "local": "1 step"}[scope]
    assert (schedule["warmup"], schedule["cooldown"]) == ("100 steps", "200 steps")
    assert recipe.budget["density"] == (1 if name[0] in "ce" else 0.3)
    assert recipe.training["warmup_steps"] == 100
    assert recipe.drive.get("regrow", False) == (name == "b1-magnitude-splopa-8")
    assert recipe.task["max_length"] == 384
    taught = [own for own in recipe.losses if own["name"] == "logits"]
    assert taught == (
        [{"name": "logits", "temperature": 2, "weight": 0.9}] if name[1] > "2" else []
    )


def test_scores_are_those_of_the_row(book):
    score = only(book(SQuAD=[row(SOFT)])).recipe.score
    assert score == {
        "name": "soft_movement", "initial": 0, "threshold": 0.1, "learning_rate": 0.01,
        "init": "constant", "scale": 0, "regularizer": "l1", "penalty": 50,
    }  # fmt: skip


def test_results_of_all_tasks_are_published_as_fractions(book):
    dense = ("bert", None, (90.0, 88.0), DENSE)
    path = book(
        SQuAD=[dense, row(MOVEMENT)],
        MNLI=[row(MOVEMENT, 30.05, (0.8, 1, 0.7, 1))],
        QQP=[row(MOVEMENT, 10, ("Next", 0.6)), row(MOVEMENT, 10, (0.7,))],
    )
    found = {own.name: own.published for own in read_sheet(path)}
    assert list(found) == [
        "squad-d1-movement-30.1", "mnli-d1-movement-30.1", "qqp-d1-movement-10.0",
        "qqp-d1-movement-10.0-2",
    ]  # fmt: skip
    one = found["squad-d1-movement-30.1"]
    assert (one.metric, one.dense, one.pruned) == ("f1", 0.88, 0.8)
    assert found["mnli-d1-movement-30.1"].pruned == 0.8
    assert found["qqp-d1-movement-10.0"].pruned is None
    assert found["qqp-d1-movement-10.0-2"].metric == "accuracy"
    assert len(read_sheet(path, sheet="Details - QQP")) == 2


def test_a_row_that_was_not_run_yet_is_called_by_what_decides_its_amount(book):
    rows = [row(own, "Next", ()) for own in (SOFT, MOVEMENT)]
    assert [own.name for own in read_sheet(book(SQuAD=rows))] == [
        "squad-e2-soft-movement-lambda-50", "squad-d1-movement-threshold-0.3",
    ]  # fmt: skip


def test_dense_and_unfinished_rows_are_left_out_and_told(book):
    half = {key: value for key, value in USUAL.items() if key != "num_train_epochs"}
    path = book(
        SQuAD=[
            ("bert", 100, (80, 88), DENSE),
            row(MOVEMENT),
            ("half", 10, (), {**half, **MOVEMENT}),
            ("blank", None, (), {}),
        ]
    )
    found = read_sheet(path)
    assert len(found) == 1
    dense, unfinished, blank = found.skipped
    assert dense.endswith("Details - SQuAD, row 3: it is dense: nothing is pruned")
    assert unfinished.endswith("row 5: it is unfinished: it lacks num_train_epochs")
    assert "row 6" in blank


@pytest.mark.parametrize(
    ("said", "cell", "told"),
    [
        ({"pruning_method": "topk"}, "R3", "pruning_method 'topk' is unknown"),
        ({"initial_threshold": 0.5}, "N3", "expected 1"),
        ({"learning_rate": "fast"}, "L3", "learning_rate"),
        ({"final_threshold": 1.5}, "O3", "budget.density"),
        ({"final_warmup": "long"}, "Q3", "final_warmup 'long' of 100 steps is no length"),
        ({"mask_init": "ones"}, "S3", "score.init"),
        ({"num_splopa_prototypes": 0}, "AA3", "adapt.prototypes"),
    ],
)
def test_a_bad_value_is_told_at_its_cell(said, cell, told, book):
    with pytest.raises(PrunusError) as error:
        read_sheet(book(SQuAD=[row({**MOVEMENT, **said})]))
    (line,) = str(error.value).splitlines()
    assert f"book.xlsx, Details - SQuAD, cell {cell}: " in line
    assert told in line


def test_a_missing_column_and_unknown_results_are_told(tmp_path):
    made = Workbook()
    made.active.append(("EXP ID", "Effective encoder remain weights %", "pruning_method", "x"))
    made.active.append(("a", 10, "topK"))
    made.save(tmp_path / "other.xlsx")
    with pytest.raises(
        PrunusError, match=r"the columns initial_threshold, final_threshold, .* miss"
    ):
        read_sheet(tmp_path / "other.xlsx")
    made.active.append(("a", 10, "topK"))
    for place, title in enumerate(ARGUMENTS, 5):
        made.active.cell(1, place, title if title != "pruning_method" else "y")
    made.save(tmp_path / "other.xlsx")
    with pytest.raises(PrunusError, match="tell none of the tasks"):
        read_sheet(tmp_path / "other.xlsx")


@pytest.fixture(scope="session")
def sheet():
    return read_sheet(BOOK)


@published
def test_the_published_sheet_is_read_as_it_is(sheet):
    tasks = Counter(own.name.partition("-")[0] for own in sheet)
    assert tasks == {"mnli": 92, "squad": 97, "qqp": 72}
    assert len({own.name for own in sheet}) == 261
    assert [told.partition(", ")[2] for told in sheet.skipped] == [
        f"Details - {task}, row 3: it is dense: nothing is pruned"
        for task in ("MNLI", "SQuAD", "QQP")
    ]
    codes = {own.name.split("-")[1] for own in sheet}
    assert codes == {f"{letter}{n}" for letter in "bd" for n in "1234"} | {"c2", "c4", "e2", "e4"}
    assert all(own.published.dense and own.published.pruned for own in sheet)


@published
def test_codes_are_those_of_the_sheet(sheet):
    told = [own for own in sheet if "VLKUP Code" in own.columns]
    assert len(told) == 92 + 72
    assert all(own.columns["VLKUP Code"].endswith(own.columns["code"]) for own in told)


@published
@pytest.mark.parametrize("turned", [False, True])
def test_rows_are_chosen_by_group_and_remaining_weights(turned, sheet):
    group = "l1_0._0.1_1_2_l1_*_3e-5_1e-2_sigmoied_threshold_constant_0._10_epochs"
    asked = [f"EXP ID={group}", "Effective encoder remain weights %=28.8"]
    found = chosen(sheet.rows, [",".join(asked[::-1] if turned else asked)])
    assert [own.name for own in found] == ["squad-e2-soft-movement-28.8"]
    assert found[0].recipe.score["penalty"] == 50


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """A folder with tiny dense models where rows look for them, and a mirror of their data."""
    folder = tmp_path_factory.mktemp("block-spa")
    for task in berts.TASKS:
        berts.dense(folder / f"runs/dense/bert-base-{task}", task)
    berts.mirror(folder / "mirror")
    return folder


@pytest.fixture
def twins(workshop, monkeypatch, tmp_path):
    """Prunes tiny twins as a row says; what is dense is opened once a task."""
    monkeypatch.setenv("PRUNUS_DATA", str(workshop / "mirror"))
    monkeypatch.chdir(workshop)
    opened = {}

    def twins(row):
        recipe = row.recipe
        stage = Stage(
            recipe, parts(recipe), tmp_path, tmp_path, Bars(True), logging.getLogger(row.name)
        )
        if recipe.model not in opened:
            opened[recipe.model] = open_all(stage, Path(recipe.model))
        return prune(stage, opened[recipe.model])

    return twins


def check(row, cut):
    assert not adapted(cut.model)
    kept = {name: mask for name, mask in cut.plan.items() if name.endswith(":grid")}
    assert len(kept) == 6
    density = row.recipe.budget["density"]
    if density < 1:
        stays, of = (sum(int(mask.sum()) for mask in kept.values()), 24)
        assert stays == pytest.approx(density * of, abs=6 if "local" in str(row.recipe) else 1)


@pytest.mark.parametrize("name", EVERY)
def test_every_method_runs_two_steps(name, book, twins):
    (own,) = read_sheet(book(SQuAD=[row(EVERY[name])]), SHORT)
    cut = twins(own)
    check(own, cut)
    assert (cut.job.learnt is None) == ("splopa" not in name)


@published
@pytest.mark.slow
@pytest.mark.parametrize("task", ["MNLI", "SQuAD", "QQP"])
def test_every_row_of_the_published_sheet_runs_two_steps(task, twins, quick_gc):
    for own in read_sheet(BOOK, SHORT, sheet=f"Details - {task}"):
        check(own, twins(own))
