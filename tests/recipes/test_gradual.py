"""Recipes that prune while they train: from the first step to the reloaded checkpoint."""

import pytest
import torch
import yaml
from safetensors.torch import load_file

import prunus
from prunus.drive._pruner import Pruner
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.recipe import read
from prunus.recipe._parts import parts
from prunus.recipe.check import check
from prunus.recipe.run import run
from tests.recipes.dense import dense
from tests.tiny import tiny

QUICK = ("latency=null", "evaluation.baselines=false", "calibration.samples=8")
TRAINED = (
    *QUICK,
    "training={epochs: 3, batch_size: 4, learning_rate: .002, warmup_ratio: 0}",
    "drive={name: gradual, schedule: {name: cubic, warmup: 2, cooldown: 1 epoch, every: 2}}",
)
BLOCKS = (*TRAINED, "sites={grid: 4x1, match: '(?!.*pooler).*'}", "budget={density: .2}")
UNITS = (*TRAINED, "sites=[heads, neurons]", "budget={density: .5, metric: units}")
ADAPTED = (*UNITS, "adapt={name: splora, rank: 2}")


def weights(folder):
    return load_file(folder / "model/model.safetensors")


def matrices(folder, *names):
    found = weights(folder)
    return {k: v for k, v in found.items() if k.endswith(names or (".weight",)) and v.dim() == 2}


def blocks(weight):
    """[blocks of 4 outputs, inputs]: whether anything stays of a block of 4x1."""
    return weight.reshape(-1, 4, weight.shape[1]).ne(0).any(1)


def test_blocks_go_while_the_network_trains(at, tmp_path, place):
    report = at(*BLOCKS, "drive.dead=false")
    plan = Plan.load(tmp_path / "out/plan.safetensors")
    kept = torch.cat([mask.flatten() for mask in plan.values()])
    assert kept.sum() == int(0.2 * kept.numel())
    assert report.density.metric == "weights"
    assert report.density.of_sites == pytest.approx(int(0.2 * kept.numel()) / kept.numel())
    found = weights(tmp_path / "out")
    for name, mask in plan.items():
        weight = found[name.removesuffix(":grid") + ".weight"]
        assert torch.equal(blocks(weight), mask)
        assert weight.ne(0).reshape(-1, 4, weight.shape[1]).all(1).equal(mask)
    of = sum(own.of for own in report.zeros.layers)
    gone = sum(own.of - own.nonzero for own in report.zeros.layers if own.pruned)
    assert report.zeros.neural_compressor == gone / of
    assert gone == 4 * (~kept).sum()
    assert report.params.dense == report.params.pruned
    before = weights_of(place / "dense")
    assert not found["bert.encoder.layer.0.attention.self.query.bias"].equal(
        before["bert.encoder.layer.0.attention.self.query.bias"]
    )
    assert not (tmp_path / "out.checkpoints").exists()


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def test_the_log_tells_of_the_training(at, tmp_path):
    report = at(*BLOCKS)
    log = (tmp_path / "out/run.log").read_text()
    assert "train: 18 of 18" in log
    assert report.seconds.model_dump()["train"] > 0


def test_of_any_four_neighbours_two_stay(at, tmp_path):
    changes = ("sites.grid=2:4", "budget.density=.5", "drive.dead=false")
    report = at(*BLOCKS, *changes)
    assert report.density.of_sites == 0.5
    inner = [w for n, w in matrices(tmp_path / "out").items() if ".encoder." in n]
    assert len(inner) == 12
    for weight in inner:
        assert weight.ne(0).reshape(-1, 4).sum(1).eq(2).all()


@pytest.mark.parametrize("score", ["magnitude", "gradient", "snip", "block_mask", "random"])
def test_any_criterion_of_training_reaches_the_density(at, score):
    report = at(*BLOCKS, f"score={score}", "training.max_steps=6", "drive.schedule.cooldown=0")
    assert report.density.of_sites == pytest.approx(0.2, abs=1e-3)


def test_heads_and_neurons_leave_for_real(at, tmp_path):
    report = at(*UNITS)
    assert report.params.pruned < report.params.dense
    kept = sum(stays for name, (stays, _) in report.kept.items() if name.endswith("s"))
    of = sum(units for _, units in report.kept.values())
    assert of == 2 * (4 + 24)
    assert kept <= of / 2
    assert report.density.of_sites == kept / of
    model = prunus.load(tmp_path / "out/model")
    layers = model.base_model.encoder.layer
    widths = [layer.intermediate.dense.out_features for layer in layers]
    assert widths == [report.kept[f"encoder.layer.{n}:neurons"][0] for n in range(2)]
    assert sum(widths) < 48
    assert report.equivalence.masked_vs_shrunk < 1e-5
    assert report.equivalence.reloaded_vs_shrunk == 0


def test_neurons_that_nothing_reads_leave_with_the_blocks(at, tmp_path):
    whole = at(*BLOCKS, "drive.dead=false")
    report = at(*BLOCKS, out="smaller")
    assert report.params.pruned < whole.params.pruned
    assert report.quality.pruned == whole.quality.pruned
    some = [name for name in report.kept if name.endswith(":neurons")]
    assert some
    narrow = weights(tmp_path / "smaller")[
        f"bert.{some[0].removesuffix(':neurons')}.output.dense.weight"
    ]
    assert narrow.shape[1] == report.kept[some[0]][0] < 24


def test_rules_have_a_criterion_and_a_schedule_of_their_own(at, tmp_path, monkeypatch):
    found = []
    begun = Pruner.__init__

    def spied(self, *args, **settings):
        begun(self, *args, **settings)
        found.append(self)

    monkeypatch.setattr(Pruner, "__init__", spied)
    rule = "{match: 'query|key', density: .5, scope: local, score: magnitude, schedule: one_shot}"
    report = at(*BLOCKS, f"budget.rules=[{rule}]", "drive.dead=false")
    tracks = found[0].tracks
    criteria = [type(track.course.criterion).__name__ for track in tracks]
    assert criteria == ["Magnitude", "SnipMomentum"]
    assert [track.times.last_due for track in tracks] == [0, 12]
    for name, mask in Plan.load(tmp_path / "out/plan.safetensors").items():
        if "query" in name or "key" in name:
            assert mask.sum() == mask.numel() / 2
    assert report.density.of_sites > 0.2


def test_two_grids_in_one_recipe(at, tmp_path):
    sites = "[{grid: 1x1, match: '.*(output|intermediate).*'}, {grid: 4x1, match: '.*query'}]"
    rules = "[{match: query, density: .3, scope: global, ceiling: .5}]"
    report = at(
        *BLOCKS, f"sites={sites}", "budget.scope=local", f"budget.rules={rules}", "drive.dead=false"
    )
    plan = Plan.load(tmp_path / "out/plan.safetensors")
    for name, mask in plan.items():
        if "query" not in name:
            assert mask.sum() == int(0.2 * mask.numel())
    queries = [mask for name, mask in plan.items() if "query" in name]
    assert sum(int(mask.sum()) for mask in queries) == int(0.3 * 512)
    assert all(mask.sum() <= 0.5 * mask.numel() for mask in queries)
    assert 0.2 < report.density.of_sites < 0.3


@pytest.mark.parametrize(
    "losses",
    ["labels", "logits", "[{name: hidden, weight: 2}, labels]", "[logits, attention]"],
)
def test_any_loss_trains(at, losses):
    report = at(*UNITS, f"losses={losses}", "training.max_steps=6", "drive.schedule.cooldown=0")
    assert report.recipe["losses"][0]["weight"] in (1, 2)
    assert report.equivalence.dense_vs_shrunk > 1e-4


def test_embeddings_may_be_left_alone(at, tmp_path, place):
    at(*BLOCKS, "training.freeze_embeddings=true", out="frozen")
    at(*BLOCKS, out="free")
    word = "bert.embeddings.word_embeddings.weight"
    whole = load_file(place / "dense/model.safetensors")[word]
    assert torch.equal(weights(tmp_path / "frozen")[word], whole)
    assert not torch.equal(weights(tmp_path / "free")[word], whole)


@pytest.mark.parametrize("said", ["max_length=8", "evaluate=false"])
def test_what_a_recipe_says_elsewhere_is_refused(place, said):
    with pytest.raises(PrunusError, match="is for `prunus train`; here say"):
        read(place / "recipe.yaml", [*BLOCKS, f"training.{said}"])


def test_another_teacher_teaches(at, tmp_path, monkeypatch):
    from prunus.recipe import _learning

    seen = []
    objective = _learning.Objective

    def spied(terms, teacher):
        seen.append(teacher)
        return objective(terms, teacher)

    monkeypatch.setattr(_learning, "Objective", spied)
    prunus.save(tiny("bert", num_labels=2, seed=7), tmp_path / "teacher")
    few = ("training.max_steps=6", "drive.schedule.cooldown=0", "losses=logits")
    one = at(*BLOCKS, *few, f"teacher={tmp_path / 'teacher'}")
    two = at(*BLOCKS, *few, out="two")
    theirs = weights_of(tmp_path / "teacher")
    assert seen[0].state_dict()["classifier.bias"].equal(theirs["classifier.bias"])
    assert not seen[1].state_dict()["classifier.bias"].equal(theirs["classifier.bias"])
    assert one.plan != two.plan


class Killed(BaseException):
    pass


def test_an_interruption_early_on_leaves_nothing_behind(at, tmp_path, monkeypatch):
    def killed(self, *args):
        raise Killed

    monkeypatch.setattr(Pruner, "_after", killed)
    with pytest.raises(Killed):
        at(*BLOCKS)
    assert list(tmp_path.iterdir()) == []


def test_the_dense_model_is_not_trained(at, place):
    before = weights_of(place / "dense")
    at(*BLOCKS, "training.max_steps=6", "drive.schedule.cooldown=0")
    after = weights_of(place / "dense")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_saved_recipe_is_read_again_to_the_same_plan(at, tmp_path):
    few = ("training.max_steps=6", "drive.schedule.cooldown=0")
    one = at(*BLOCKS, *few)
    again = run(read(tmp_path / "out/recipe.yaml"), tmp_path / "again", quiet=True)
    assert again.plan == one.plan
    assert yaml.safe_load((tmp_path / "out/recipe.yaml").read_text()) == yaml.safe_load(
        (tmp_path / "again/recipe.yaml").read_text()
    )


def test_defaults_follow_the_drive(place):
    plain = {"model": "m", "task": {"name": "glue", "subset": "sst2"}}
    (place / "least.yaml").write_text(yaml.safe_dump({**plain, "drive": "gradual"}))
    recipe = read(place / "least.yaml")
    assert (recipe.score, recipe.select) == ({"name": "snip_momentum"}, {"name": "greedy"})
    assert recipe.recover == ()
    assert recipe.losses == ({"name": "labels"},)
    assert parts(recipe).budget.metric == "flops"
    grids = read(place / "least.yaml", ["sites={grid: 2:4}"])
    assert parts(grids).budget.metric == "weights"
    assert str(grids.sites[0].grid) == "2:4"
    other = read(place / "least.yaml", ["drive=oneshot", "score=magnitude"])
    assert other.recover == ({"name": "input_map"}, {"name": "least_squares"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["recover=[least_squares]"], "repairs are for what goes at once: say recover"),
        (["compare=random"], "compare: random makes further models"),
        (["budget={max_loss: 1pt}"], r"budget\.max_loss makes further models"),
        (["score=obs"], "score: Obs needs .* of a pass over data; in training use movement"),
        (["sites=channels", "budget={density: .5}"], "channels cross norms"),
        (["drive.schedule.every=100"], "masks every 100 steps, but there are only 10 steps"),
        (["drive.schedule.warmup=5 epochs"], "would start after 30 steps and end after 12"),
        (["drive.schedule={name: one_shot}"], "of which there are none before the first step"),
        (["drive.schedule=quadratic"], "unknown schedule 'quadratic'"),
        (["sites={grid: 5x1}"], "which 5x1 does not divide"),
        (["sites={grid: 4x1, match: nothing}"], "no module .*matches 'nothing'"),
        (["sites={grid: 2:4}", "budget.density=.3"], "density 0.3 allows .* but the floors"),
        (["budget={density: .3, floor: .4}"], "density 0.3 allows .* but the floors"),
        (["losses=[labels, labels]"], "labels is there twice"),
        (["losses={name: hidden, layers: [9]}"], "there is no layer 9"),
        (["task.splits={calibration: 8, validation: 8}", "task.data={validation: DATA}"], "train"),
    ],
)
def test_what_does_not_fit_is_refused(place, tmp_path, changes, message):
    changes = [change.replace("DATA", str(place / "reviews.csv")) for change in changes]
    with pytest.raises(PrunusError, match=message):
        run(read(place / "recipe.yaml", [*BLOCKS, *changes]), tmp_path / "out", quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("teacher", "losses", "message"),
    [
        ({"num_labels": 3}, "logits", "the same answers are needed"),
        ({"heads": 2}, "hidden", "states of unlike width"),
        ({"vocab_size": 60}, "hidden", "vocabulary has 50 tokens, the teacher's 60"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_by_run_and_check(
    place, tmp_path, teacher, losses, message
):
    prunus.save(tiny("bert", **{"num_labels": 2, **teacher}), tmp_path / "teacher")
    changes = (*BLOCKS, f"teacher={tmp_path / 'teacher'}", f"losses={losses}")
    recipe = read(place / "recipe.yaml", changes)
    with pytest.raises(PrunusError, match=message):
        run(recipe, tmp_path / "out", quiet=True)
    with pytest.raises(PrunusError, match=message):
        check(recipe)


def test_a_teacher_that_no_loss_asks_is_refused(place, tmp_path):
    recipe = read(place / "recipe.yaml", [*BLOCKS, f"teacher={dense(tmp_path / 'teacher')}"])
    with pytest.raises(PrunusError, match=r"no term of the losses \(labels\) asks a teacher"):
        run(recipe, tmp_path / "out", quiet=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["losses=logits"], "losses: only drive: gradual and stepwise train"),
        (["teacher=x"], "teacher: only drive: gradual and stepwise train"),
        (["training.epochs=2"], "training: only drive: gradual and stepwise train"),
    ],
)
def test_training_needs_the_drive_that_trains(place, changes, message):
    with pytest.raises(PrunusError, match=message):
        read(place / "recipe.yaml", changes)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"drive": "oneshot"}, "drive: oneshot does not train; use drive: gradual"),
        ({"budget": {"density": 0.5, "metric": "latency"}}, "latency is measured on data"),
        ({"sites": "neurons", "budget": {"density": 0.5, "metric": "flops"}}, "measured on data"),
    ],
)
def test_a_loop_of_ones_own_has_no_data_and_trains(said, message):
    model, recipe = tiny("bert"), {"sites": "heads", "drive": "gradual", **said}
    with pytest.raises(PrunusError, match=message):
        prunus.gradual(model, torch.optim.SGD(model.parameters()), recipe, steps=8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["score=movement"], "is learnt while the network trains; use drive: gradual"),
        (
            ["budget={max_loss: 1pt}", "recover=[{name: finetune, steps: 2}]"],
            "tries many models, and finetune would train each of them",
        ),
    ],
)
def test_what_trains_is_not_for_what_goes_at_once(place, changes, message):
    with pytest.raises(PrunusError, match=message):
        parts(read(place / "recipe.yaml", changes))


@pytest.mark.parametrize("own", ["score: magnitude", "schedule: linear"])
def test_a_rules_own_parts_need_the_drive_that_trains(place, own):
    rule = f"budget.rules=[{{match: heads, density: .5, {own}}}]"
    with pytest.raises(PrunusError, match="of its own needs drive: gradual"):
        parts(read(place / "recipe.yaml", [rule]))
    with pytest.raises(PrunusError, match="needs a budget of its own"):
        read(place / "recipe.yaml", [rule.replace(", density: .5", "")])


def test_check_tells_the_training(place):
    found = check(read(place / "recipe.yaml", BLOCKS))
    assert (found.training.steps, found.training.epoch) == (18, 6)
    (times,) = found.training.times
    assert (times.start, times.last_due, times.every) == (2, 12, 2)
    amounts = {amount.metric: amount for amount in found.amounts}
    assert amounts["weights"].sites == 11264
    stays = amounts["weights"].stays - amounts["weights"].whole + amounts["weights"].sites
    assert stays == pytest.approx(0.2 * 11264, abs=4)
    assert check(read(place / "recipe.yaml")).training is None
    with pytest.raises(PrunusError, match="masks every 100 steps"):
        check(read(place / "recipe.yaml", [*BLOCKS, "drive.schedule.every=100"]))
