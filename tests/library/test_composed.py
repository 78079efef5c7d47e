"""Models composed of a library: exact, reused, and tuned where that is new."""

import json
import subprocess
import sys

import pytest
import torch

import prunus
from prunus.digest import digest
from prunus.plan import Plan
from prunus.recover.modulewise import Modulewise
from tests.library.drives import CLOSED, PAIR, TUNED, compose, data, drive, job, same
from tests.tiny import FAMILIES, batch_of, far, outputs, tiny

LINEAR = r"(?!.*patch_embedding).*"
FEW = ("bert", "t5", "gpt2", "llama", "vit", "bart")


@pytest.mark.parametrize(
    ("family", "score"), [*((f, "magnitude") for f in FAMILIES), ("bert", "obs"), ("t5", "obs")]
)
def test_without_repairs_it_is_the_cut_model(family, score, tmp_path):
    own = job(family, score=score)
    small, composed, plan = compose(own, tmp_path, PAIR)
    assert same(small, prunus.shrink(own.model, plan))
    for name, mask in plan.items():
        site = own.sites[name]
        share = PAIR[site.kind][0]
        least = max(1, site.units // site.run)
        assert int(mask.sum()) == max(least, int(share * site.run) * (site.units // site.run))
    assert composed.used == {str(w) for w in drive(tmp_path, PAIR).modules(own)[0].values()}
    assert len(composed.filled.tuned) == len(composed.filled.modules)


@pytest.mark.parametrize("grid", ["1x1", "2:4"])
@pytest.mark.parametrize("family", FEW)
def test_grids_without_repairs_are_the_cut_model(family, grid, tmp_path):
    own = job(family, {"grid": grid, "match": LINEAR, "indivisible": "pad"})
    small, _, plan = compose(own, tmp_path, {"grid": [0.5]})
    assert same(small, prunus.shrink(own.model, plan, own.sites))
    assert all(0.4 < float(mask.float().mean()) <= 0.5 for mask in plan.values())


@pytest.mark.parametrize("family", FEW)
def test_a_full_library_gives_the_same_model_as_a_fresh_one(family, tmp_path):
    fresh, first, _ = compose(job(family, recover=TUNED), tmp_path, PAIR)
    again, second, _ = compose(job(family, recover=TUNED), tmp_path, PAIR)
    assert same(fresh, again)
    assert second.filled.tuned == second.filled.redone == []
    assert second.filled.reused == list(first.filled.modules)
    bare, _, _ = compose(job(family), tmp_path, PAIR)
    assert not same(fresh, bare)
    assert outputs(fresh, batch_of(fresh)).isfinite().all()


ALONE = """
import json, sys, torch
from tests.library.drives import TUNED, PAIR, compose, job
from prunus.digest import digest
model, composed, _ = compose(job(sys.argv[2], recover=TUNED), sys.argv[1], PAIR)
print(json.dumps([digest(model.state_dict()), composed.filled.tuned]))
"""


def test_another_process_composes_the_same_model(tmp_path):
    family = "t5"
    own, _, _ = compose(job(family, recover=TUNED), tmp_path / "here", PAIR)
    for folder, tuned in (("here", False), ("there", True)):
        said = subprocess.run(
            [sys.executable, "-c", ALONE, str(tmp_path / folder), family],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        digested, names = json.loads(said.stdout.splitlines()[-1])
        assert bool(names) == tuned
        assert digested == digest(own.state_dict())


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_what_else_is_tuned_does_not_matter(family, tmp_path):
    both, _, _ = compose(job(family, recover=TUNED), tmp_path / "both", PAIR)
    alone = {kind: own[:1] for kind, own in PAIR.items()}
    one, _, _ = compose(job(family, recover=TUNED), tmp_path / "alone", alone)
    assert same(both, one)


def test_one_kind_is_tuned_as_it_is_beside_the_other(tmp_path):
    both = compose(job(recover=TUNED), tmp_path / "both", PAIR)[1].filled.modules
    alone = compose(job(recover=TUNED, sites="heads"), tmp_path / "a", {"heads": [0.5]})[1]
    for name, own in alone.filled.modules.items():
        assert all(torch.equal(own.tensors[key], both[name].tensors[key]) for key in own.tensors)


def tuned(own, folder, configurations=PAIR, **said):
    """The modules that had to be tuned."""
    return set(compose(own, folder, configurations, **said)[1].filled.tuned)


def test_only_what_is_new_is_tuned(tmp_path):
    own = {"heads": [0.25, 0.5, 0.75], "neurons": [0.25, 0.5, 0.75]}
    assert len(tuned(job(recover=CLOSED), tmp_path, own)) == 12
    mixed = [{"heads": 0.25, "neurons": 0.75}, {"encoder.layer.0:heads": 0.5, "neurons": 0.25}]
    assert tuned(job(recover=CLOSED), tmp_path, mixed, tune=False) == set()
    more = [*mixed, {"heads": 0.5, "encoder.layer.1:neurons": 0.1}]
    assert tuned(job(recover=CLOSED), tmp_path, more) == {"encoder.layer.1:neurons 2 of 24"}


def test_a_configuration_of_known_modules_is_composed_without_training(tmp_path, monkeypatch):
    tuned(job(recover=TUNED), tmp_path, {"heads": [0.25, 0.5], "neurons": [0.25, 0.5]})
    monkeypatch.delattr(Modulewise, "tune")
    fifth = [{"encoder.layer.0:heads": 0.25, "encoder.layer.1:heads": 0.5, "neurons": 0.5}]
    small, composed, plan = compose(job(recover=TUNED), tmp_path, fifth)
    assert composed.filled.tuned == []
    assert {name: int(mask.sum()) for name, mask in plan.items()} == {
        "encoder.layer.0:heads": 1, "encoder.layer.1:heads": 2,
        "encoder.layer.0:neurons": 12, "encoder.layer.1:neurons": 12,
    }  # fmt: skip
    assert outputs(small, batch_of(small)).isfinite().all()


def changed_weights():
    model = tiny("bert")
    with torch.no_grad():
        model.classifier.bias[0] += 1e-3
    return {"model": model}


def changed_data():
    model = tiny("bert")
    batches = data(model)
    batches[-1]["input_ids"][0, 0] += 1
    return {"model": model, "batches": batches}


CHANGES = {
    "weights": changed_weights,
    "data": changed_data,
    "repairs": lambda: {"recover": ({"name": "least_squares", "ridge": 0.1},)},
    "training": lambda: {"recover": TUNED},
    "none": lambda: {"recover": ()},
    "precision": lambda: {"precision": "bfloat16"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_modules_depend_on_makes_them_new(change, tmp_path):
    every = tuned(job(recover=CLOSED), tmp_path)
    assert tuned(job(recover=CLOSED), tmp_path) == set()
    assert tuned(job(**{"recover": CLOSED, **CHANGES[change]()}), tmp_path) == every
    assert tuned(job(recover=CLOSED), tmp_path) == set()


def test_how_much_is_held_out_makes_modules_new(tmp_path):
    every = tuned(job(recover=CLOSED), tmp_path)
    assert tuned(job(recover=CLOSED), tmp_path, held=0.5) == every


def test_another_criterion_shares_the_masks_that_are_the_same(tmp_path):
    one = compose(job(recover=CLOSED), tmp_path, PAIR)[1].filled.modules
    own = job(recover=CLOSED, score="obs")
    new = tuned(own, tmp_path)
    others = {str(w): w.mask for part in drive(tmp_path, PAIR).modules(own) for w in part.values()}
    differ = {name for name, mask in others.items() if not torch.equal(mask, one[name].mask)}
    assert new == differ
    assert len(differ) > 0


def test_repairs_that_ask_scoring_depend_on_it(tmp_path):
    said = {"score": "obs", "recover": ({"name": "reselect"}, "least_squares")}
    every = tuned(job(**said), tmp_path)
    assert tuned(job(**said), tmp_path) == set()
    assert tuned(job(**said, scored=0.5), tmp_path) == every


@pytest.mark.parametrize("family", ["bert", "t5", "vit"])
def test_repairs_do_not_worsen_what_they_fit(family, tmp_path):
    """On many samples: the closed form fits the samples themselves, ridge aside."""
    model = tiny(family)
    batches = data(model, count=8, size=24)
    recover = ({"name": "least_squares", "ridge": 0.001}, TUNED[1])
    rows = compose(job(model, batches=batches, recover=recover), tmp_path, PAIR)[1].filled.modules
    for own in rows.values():
        figures = own.figures
        assert figures["tuned"] <= figures["closed"]
        assert figures["closed"] < figures["pruned"]
        assert [look["epoch"] for look in figures["history"]] == [0, 1, 2]
        assert figures["history"][0]["validation"] == figures["closed"]
        assert figures["history"][0]["training"] is None
        assert figures["tuned"] == min(look["validation"] for look in figures["history"])


def test_composed_models_are_saved_and_opened(tmp_path):
    small, _, _ = compose(job("t5", recover=TUNED), tmp_path / "library", PAIR)
    prunus.save(small, tmp_path / "model")
    again = prunus.load(tmp_path / "model")
    batch = batch_of(small)
    assert outputs(again, batch).equal(outputs(small, batch))


@pytest.mark.parametrize(
    ("density", "heads", "neurons"), [(0.01, 1, 1), (0.3, 1, 7), (0.99, 3, 23)]
)
def test_counts_are_rounded_down_and_some_stay(density, heads, neurons, tmp_path):
    own = job(recover=TUNED)
    _, _, plan = compose(own, tmp_path, [{"heads": density, "neurons": density}])
    expected = {"heads": heads, "neurons": neurons}
    assert {n: int(m.sum()) for n, m in plan.items()} == {
        name: expected[site.kind] for name, site in own.sites.items()
    }


def test_repairs_may_choose_other_weights(tmp_path):
    said = {"sites": {"grid": "1x1", "match": ".*query"}, "recover": ("sparsegpt",)}
    begun = job(**said)
    small, first, plan = compose(begun, tmp_path, {"grid": [0.5]})
    bare, _, other = compose(job(**{**said, "recover": ()}), tmp_path, {"grid": [0.5]})
    assert plan != other
    assert plan.counts() == other.counts()
    for name, own in first.filled.modules.items():
        weight = small.get_parameter(begun.sites[own.site].inlet.tensor)
        assert (weight != 0).equal(own.mask), name
    again, second, _ = compose(job(**said), tmp_path, {"grid": [0.5]})
    assert second.filled.tuned == []
    assert same(again, small)
    assert not same(bare, small)


def test_repairs_in_closed_form_go_through_the_composed_model(tmp_path):
    own, batches = job(recover=CLOSED), data(tiny("bert"), 6, 12)
    plain, _, _ = compose(job(recover=CLOSED, batches=batches), tmp_path, PAIR)
    said = {"finish": ["input_map", "least_squares"]}
    mended, composed, plan = compose(job(recover=CLOSED, batches=batches), tmp_path, PAIR, **said)
    assert composed.filled.tuned == []
    assert set(plan) == set(own.sites)

    def off(model):
        return sum(far(outputs(model, batch), outputs(own.model, batch)) for batch in batches)

    assert off(mended) < off(plain)


def test_a_dense_configuration_is_the_dense_model(tmp_path):
    own = job(recover=TUNED)
    small, composed, plan = compose(own, tmp_path, [{"heads": 1.0, "neurons": 1}])
    assert composed.filled.modules == {}
    assert plan == Plan.dense(own.sites)
    batch = batch_of(own.model)
    assert outputs(small, batch).equal(outputs(own.model, batch))


def test_a_density_that_takes_nothing_leaves_the_module_as_it_is(tmp_path):
    own = job(tiny("bert", heads=1), recover=TUNED)
    small, composed, _ = compose(own, tmp_path, [{"heads": 0.5, "neurons": 0.5}])
    assert all("neurons" in name for name in composed.filled.modules)
    assert composed.notes == (
        "nothing to prune, a single unit: encoder.layer.0:heads, encoder.layer.1:heads",
    )
    name = "bert.encoder.layer.0.attention.output.dense.weight"
    assert small.get_parameter(name).equal(own.model.get_parameter(name))


def test_the_call_in_python(tmp_path):
    model = tiny("bert")
    said = {"name": "library", "configurations": PAIR, "folder": str(tmp_path)}
    small = prunus.prune(model, data(model), drive=said, recover=TUNED)
    other, _, _ = compose(job(model, recover=TUNED, score="obs"), tmp_path / "other", PAIR)
    assert same(small, other)
    assert far(outputs(small, batch_of(model)), outputs(model, batch_of(model))) > 1e-3


class Net(torch.nn.Module):
    """A network that is no model of transformers."""

    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(8, 24), torch.nn.Linear(24, 3)
        self.head = torch.nn.Linear(3, 3)

    def forward(self, x):
        return {"logits": self.head(self.down(self.up(x).tanh()).tanh())}


def test_networks_of_other_libraries_are_composed(tmp_path):
    torch.manual_seed(0)
    batches = [{"x": torch.randn(16, 8)} for _ in range(4)]
    drive = {"name": "library", "configurations": {"grid": [0.5]}, "folder": str(tmp_path)}
    said = {"sites": {"grid": "1x1", "match": "up|down"}, "score": "magnitude", "drive": drive}
    budget = {"density": 1.0, "metric": "weights"}
    net = Net()
    one, again = (
        prunus.prune(net, batches, recover=["modulewise"], budget=budget, select="greedy", **said)
        for _ in range(2)
    )
    assert same(one, again)
    assert float((one.up.weight == 0).float().mean()) == 0.5
    assert len(list(tmp_path.glob("??/*.safetensors"))) == 2
    prunus.prune(Net(), batches, recover=["modulewise"], budget=budget, select="greedy", **said)
    assert len(list(tmp_path.glob("??/*.safetensors"))) == 4
