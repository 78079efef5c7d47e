"""The published table of adapters: all rows are sound, and run two steps on a tiny network."""

from itertools import product

import pytest

from prunus.plan import Plan
from prunus.study import read_sheet
from prunus.study._run import study
from tests.pictures import SETS, mirror, resnet

SHEET = "splora/published"
ROWS = {row.name: row for row in read_sheet(SHEET)}
OURS = ("cifar10", "flowers", "cats-dogs")
CRITERIA = ("weight", "grad", "taylor", "lrp")
METHODS = ("fine", "r32", "r8")
DENSITIES = {"30": 0.3, "10": 0.1}
SHORT = (
    "drive.steps=2", "drive.recovery=.01", "calibration.samples=8",
    "calibration.batch_size=4", "training.batch_size=4", "task.splits={train: 8, validation: 8}",
    "task.size=16", "latency=null", "evaluation.baselines=false",
)  # fmt: skip


@pytest.fixture
def workshop(tmp_path, monkeypatch, in_process, quick_gc):
    """A folder with tiny dense models where the sheet looks for them, and a mirror of its data."""
    for path in {row.recipe.model for row in ROWS.values()}:
        own = path.rpartition("/")[2].removesuffix("-r8").removesuffix("-r32")
        resnet(tmp_path / path, SETS[own][3])
    for name in OURS:
        mirror(tmp_path / "mirror", name)
    monkeypatch.setenv("PRUNUS_DATA", str(tmp_path / "mirror"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_row_runs(workshop):
    found = study(read_sheet(SHEET, SHORT), workshop / "out", quiet=True)
    assert found.failed == {}
    assert [one.name for one in found.results] == list(ROWS)
    for one in found.results:
        plan = Plan.load(workshop / "out" / one.name / "plan.safetensors")
        kept = sum(int(mask.sum()) for mask in plan.values())
        whole = sum(mask.numel() for mask in plan.values())
        assert kept == int(DENSITIES[one.name.rpartition("-")[2]] * whole)
        assert one.metric == "accuracy"


def test_the_sheet_is_the_whole_table():
    names = {"-".join(row) for row in product(OURS, CRITERIA, METHODS, DENSITIES)}
    assert ROWS.keys() == names


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_what_its_name_says(name):
    recipe, published = ROWS[name].recipe, ROWS[name].published
    data, criterion, method, density = name.rsplit("-", 3)
    own = recipe.model.removeprefix("runs/dense/")
    assert own == (data if method == "fine" else f"{data}-{method}")
    assert recipe.budget["density"] == DENSITIES[density]
    assert recipe.drive["steps"] == round((1 - DENSITIES[density]) / 0.05)
    rank = recipe.adapt and f"r{recipe.adapt['rank']}"
    assert rank == (None if method == "fine" else method)
    names = {"weight": "magnitude", "grad": "activation_gradient"}
    assert recipe.score["name"] == names.get(criterion, criterion)
    assert recipe.score["normalize"] == ("l1" if criterion in ("weight", "lrp") else "l2")
    assert (published.pruned is None) == (name == "cats-dogs-lrp-fine-10")


def test_published_adapters_of_rank_32_are_ahead_where_a_tenth_stays():
    ahead = [
        ROWS[f"{data}-{criterion}-r32-10"].published.pruned - fine
        for data, criterion in product(OURS, CRITERIA)
        if (fine := ROWS[f"{data}-{criterion}-fine-10"].published.pruned) is not None
    ]
    assert len(ahead) == 11
    assert min(ahead) > 0
