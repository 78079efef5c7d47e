"""Recipes that train adapters in the place of the weights that they stand on."""

import pytest
import torch
from safetensors.torch import load_file

import prunus
from prunus.adapt import freeze, merge, trained_parameters
from prunus.checkpoint import load_adapters
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.recipe import read
from prunus.recipe._parts import parts
from tests.tiny import batch_of, far, outputs, tiny

QUICK = ("latency=null", "evaluation.baselines=false", "calibration.samples=8")
GRADUAL = (
    *QUICK,
    "training={epochs: 3, batch_size: 4, learning_rate: .02, warmup_ratio: 0}",
    "drive={name: gradual, dead: false, schedule: {name: cubic, cooldown: 1 epoch, every: 2}}",
    "budget={density: .5, metric: units}",
)
LAST = "recover=[least_squares, {name: finetune, steps: 4, learning_rate: .1}]"
SPLORA = "adapt={name: splora, rank: 2}"
UP = "encoder.layer.0:neurons", "bert.encoder.layer.0.intermediate.dense"


def test_the_network_is_pruned_while_its_adapters_learn(at, place, tmp_path):
    report = at(*GRADUAL, SPLORA)
    assert report.density.of_sites == pytest.approx(0.5, abs=0.02)
    kept = Plan.load(tmp_path / "out/plan.safetensors")[UP[0]]
    folders = place / "dense", tmp_path / "out/model"
    before, after = (load_file(folder / "model.safetensors") for folder in folders)
    assert not any("adapter" in name for name in after)
    delta = after[f"{UP[1]}.weight"] - before[f"{UP[1]}.weight"][kept]
    sizes = torch.linalg.svdvals(delta.double())
    assert sizes[1] > 1e-4 > 1e2 * sizes[2]
    assert not after[f"{UP[1]}.bias"].equal(before[f"{UP[1]}.bias"][kept])
    assert not after["classifier.weight"].equal(before["classifier.weight"])
    table = "bert.embeddings.word_embeddings.weight"
    assert after[table].equal(before[table])
    assert "rank: 2" in (tmp_path / "out/recipe.yaml").read_text()


def test_blocks_learn_while_the_network_is_pruned(at, place, tmp_path):
    splopa = "adapt={name: splopa, block: 4x4, prototypes: 1, rank: full, init_range: .1}"
    report = at(*GRADUAL, splopa)
    assert report.density.of_sites == pytest.approx(0.5, abs=0.02)
    folders = place / "dense", tmp_path / "out/model"
    before, after = (load_file(folder / "model.safetensors") for folder in folders)
    assert not any("adapter" in name for name in after)
    delta = (after["bert.pooler.dense.weight"] - before["bert.pooler.dense.weight"]).double()
    tiles = delta.unflatten(1, (-1, 4)).unflatten(0, (-1, 4)).transpose(1, 2)
    sizes = torch.linalg.svdvals(tiles.reshape(-1, 16))  # all blocks are multiples of one
    assert sizes[0] > 1e-3 > 1e3 * sizes[1]


def test_blocks_are_not_cut_between_two_trainings(at):
    stepwise = "drive={name: stepwise, steps: 2, recovery: 1}"
    with pytest.raises(PrunusError, match="adapt: splopa: drive: stepwise cuts layers with their"):
        at(
            *QUICK,
            "budget={density: .5}",
            "training={batch_size: 4, learning_rate: .02}",
            stepwise,
            "adapt={name: splopa, block: 4x4}",
        )


def test_a_touch_up_trains_them(at, tmp_path):
    report = at(*QUICK, LAST, SPLORA)
    name, _, rest = report.touch_up.learnt.partition(" (")
    assert (name, rest.endswith(" parameters)")) == ("splora", True)
    bare = at(*QUICK, "recover=least_squares", out="bare")
    assert bare.params == report.params
    before, after = (load_file(tmp_path / n / "model/model.safetensors") for n in ("bare", "out"))
    sizes = torch.linalg.svdvals((after[f"{UP[1]}.weight"] - before[f"{UP[1]}.weight"]).double())
    assert sizes[1] > 1e-3 > 1e2 * sizes[2]


def test_in_python_as_well():
    model = tiny("bert")
    data = [batch_of(model, 4, seed=seed) for seed in range(3)]
    how = {"score": "magnitude", "select": "greedy"}
    last = {"name": "finetune", "steps": 4}
    small = prunus.prune(model, data, recover=[last], adapt="sppara", **how)
    bare = prunus.prune(model, data, recover=[], **how)
    moved = [k for k, v in bare.state_dict().items() if not v.equal(small.state_dict()[k])]
    assert any("query.weight" in name for name in moved)
    assert not any("embeddings.weight" in name for name in moved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ((SPLORA,), "adapt: nothing trains the adapters; add finetune to recover, or use drive"),
        ((LAST, "adapt=spolra"), "unknown adaptation 'spolra'.*splora"),
        ((LAST, "adapt={name: splora, rang: 2}"), "rank"),
        (
            ("recover=[{name: finetune, train: lora}]", SPLORA),
            "adapt says what learns; leave out train: lora",
        ),
    ],
)
def test_settings_that_do_not_fit_are_told(place, changes, message):
    with pytest.raises(PrunusError, match=message):
        parts(read(place / "recipe.yaml", changes))


def test_masked_weights_are_not_filled(at, place, tmp_path):
    blocks = ("sites={grid: 4x1, match: '.*query'}", "budget={density: .5}", "select=greedy")
    at(*GRADUAL, *blocks, SPLORA, "drive.dead=false")
    name = "bert.encoder.layer.0.attention.self.query"
    stays = Plan.load(tmp_path / "out/plan.safetensors")[f"{name}:grid"]
    folders = place / "dense", tmp_path / "out/model"
    before, after = (load_file(f / "model.safetensors")[f"{name}.weight"] for f in folders)
    wide = stays.repeat_interleave(4, 0)
    assert (after[~wide] == 0).all()
    assert stays.float().mean() < 0.6
    assert (after[wide] != before[wide]).all()


@pytest.mark.parametrize("adapter", [SPLORA, "adapt={name: splopa, block: 8x8, prototypes: 4}"])
def test_masked_weights_are_not_filled_by_a_touch_up(at, tmp_path, adapter):
    blocks = ("sites={grid: 4x1, match: '.*query'}", "budget={density: .5}", "select=greedy")
    last = "recover=[{name: finetune, steps: 2, learning_rate: .1}]"
    at(*QUICK, *blocks, "score=magnitude", last, adapter)
    name = "bert.encoder.layer.0.attention.self.query"
    stays = Plan.load(tmp_path / "out/plan.safetensors")[f"{name}:grid"].repeat_interleave(4, 0)
    after = load_file(tmp_path / "out/model/model.safetensors")[f"{name}.weight"]
    assert torch.equal(after != 0, stays)


@pytest.mark.parametrize("score", ["movement", "l0", "magnitude"])
def test_adapters_are_kept_alone(at, place, tmp_path, score):
    """Opened on the dense model they are, merged, the model that was saved."""
    grid = "{grid: 4x4, match: '.*encoder.*', types: Linear}"
    adapter = "adapt={name: splopa, block: 4x4, prototypes: 3, learning_rate: .05}"
    report = at(
        *GRADUAL, f"sites={grid}", "budget={density: .5}", f"score={score}", adapter,
    )  # fmt: skip
    dense = prunus.load(place / "dense")
    model = load_adapters(dense, tmp_path / "out/adapters")
    assert report.trained == trained_parameters_of(model)
    merge(model)
    saved = prunus.load(tmp_path / "out/model")
    batch = batch_of(saved)
    assert torch.allclose(outputs(model, batch), outputs(saved, batch), atol=1e-5)
    assert far(outputs(saved, batch), outputs(dense, batch))


def trained_parameters_of(model):
    freeze(model)
    return trained_parameters(model)


def test_a_criterion_that_reads_gradients_of_frozen_weights_is_told(at):
    with pytest.raises(
        PrunusError, match=r"weights of site .* are frozen.*use movement or magnitude"
    ):
        at(*GRADUAL, SPLORA, "score=snip_momentum")
