"""Distillation of a pruned model: against a loop written out, and what it must leave alone."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

import prunus
from prunus import trainer
from prunus.adapt.lora import Lora
from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.errors import PrunusError
from prunus.probe import Teacher
from prunus.recipe._model import LIBRARY, TRAINING
from prunus.recover import Pruned, parted
from prunus.recover._learning import adapting, learning
from prunus.recover.finetune import Finetune
from prunus.registry import build, names
from prunus.trainer import Pace
from tests.tiny import batch_of, far, outputs, tiny

HEADS = [
    ("bert", None),
    ("bert", "BertForQuestionAnswering"),
    ("bert", "BertModel"),
    ("t5", None),
    ("llama", None),
    ("vit", None),
]
MODES = ("all", "biases_and_norms", "lora")
FEW = {"iterative": ("heads",)}


def data_of(model, count=3):
    return [batch_of(model, 4, seed=seed) for seed in range(count)]


def loss_of(model, dense, data):
    """The mean loss of all samples."""
    teacher, model = Teacher(dense, 1.0), copy.deepcopy(model).eval()
    with torch.no_grad():
        return sum(float(teacher(model, batch)) for batch in data) / (4 * len(data))


def pruned(model, data, **settings):
    return prunus.prune(model, data, **{"density": 0.5, **settings})


def touched(model, data, **settings):
    """(a copy of the model trained towards the model scrambled otherwise, what was done)."""
    student = copy.deepcopy(model)
    dense = tiny("bert", type(model), seed=1)
    return student, Finetune(**settings).mend(Pruned(student, dense, data))


def moved(before, after):
    """Names of the weights that are not the same any more."""
    now = dict(after.named_parameters())
    return {name for name, own in before.named_parameters() if not torch.equal(own, now[name])}


@pytest.mark.parametrize("train", MODES)
@pytest.mark.parametrize(("family", "cls"), HEADS)
def test_the_student_comes_closer_and_nothing_else_changes(family, cls, train):
    model = tiny(family, cls)
    model.base_model.requires_grad_(False)
    data, dense = data_of(model), copy.deepcopy(model)
    last = {"name": "finetune", "train": train, "steps": 20}
    how = {"score": "magnitude", "select": "greedy"}
    bare, small = (pruned(model, data, recover=own, **how) for own in ([], [last]))
    assert loss_of(small, model, data) < 0.95 * loss_of(bare, model, data)
    shapes = [{k: v.shape for k, v in one.state_dict().items()} for one in (bare, small)]
    assert shapes[0] == shapes[1]
    assert vars(small.config) == vars(bare.config)
    assert all(torch.equal(v, dense.state_dict()[k]) for k, v in model.state_dict().items())
    for one in (small, model):
        flags = dict(dense.named_parameters())
        assert all(p.requires_grad == flags[n].requires_grad for n, p in one.named_parameters())
        assert all(p.grad is None for p in model.parameters())
    assert vars(small).keys() == vars(bare).keys()


@pytest.mark.parametrize("train", MODES)
def test_every_module_is_in_the_mode_it_was_in(train):
    model, dense = tiny("bert"), tiny("bert", seed=1)
    for one in (model, dense):
        one.bert.encoder.layer[0].train()
    modes = [module.training for module in model.modules()]
    small = copy.deepcopy(model)
    Finetune(train=train, steps=1).mend(Pruned(small, dense, data_of(model)))
    for one in (small, dense):
        assert [module.training for module in one.modules()] == modes


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_it_is_adamw_on_the_divergence_from_the_dense_model(temperature):
    model, steps, rate, warmup = tiny("bert"), 6, 0.01, 0.25
    batch = batch_of(model, 4)
    dense = tiny("bert", seed=1)
    settings = {"steps": steps, "learning_rate": rate, "warmup_ratio": warmup}
    small, done = touched(model, [batch], temperature=temperature, **settings)
    slow, tables = copy.deepcopy(model), {id(e.weight) for e in _embeddings(model)}
    kept = [n for n, p in model.named_parameters() if id(p) in tables]
    weights = {n: p for n, p in slow.named_parameters() if n not in kept}
    optimizer = torch.optim.AdamW([
        {"params": [p for p in weights.values() if p.dim() > 1], "weight_decay": 0.01},
        {"params": [p for p in weights.values() if p.dim() == 1], "weight_decay": 0.0},
    ])  # fmt: skip
    target = (dense(**batch).logits.detach() / temperature).softmax(-1)
    losses = []
    for step in range(steps):
        way = (step + 0.5) / steps
        for group in optimizer.param_groups:
            group["lr"] = rate * min(way / warmup, (1 - way) / (1 - warmup))
        said = (slow(**batch).logits / temperature).log_softmax(-1)
        loss = temperature**2 * functional.kl_div(said, target, reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert (done.steps, done.samples, done.learnt) == (steps, 4, "all")
    assert done.loss == pytest.approx(losses[-1], rel=1e-4)
    for name, own in small.named_parameters():
        if "key.bias" not in name:  # whose gradient is rounding: softmax does not see it
            assert far(own.detach(), slow.get_parameter(name).detach()) < 1e-3, name
            assert name in kept or not torch.equal(own, model.get_parameter(name))


def _embeddings(model):
    return [module for module in model.modules() if isinstance(module, nn.Embedding)]


def test_what_learns_is_what_was_asked_for():
    model = tiny("llama", tie_word_embeddings=True)
    data, dense = data_of(model, 1), tiny("llama", seed=1)

    def changed(**settings):
        small = copy.deepcopy(model)
        Finetune(steps=2, **settings).mend(Pruned(small, dense, data))
        return moved(model, small)

    every = {name for name, _ in model.named_parameters()}
    table = {"model.embed_tokens.weight"}
    vectors = {name for name, own in model.named_parameters() if own.dim() == 1}
    assert changed(freeze_embeddings=False) == every
    assert changed() == every - table
    assert changed(train="biases_and_norms") == vectors
    assert changed(train="lora") == every - table - vectors


def test_deltas_are_of_low_rank_and_merged_alone():
    model = tiny("bert")
    small, done = touched(model, data_of(model), train="lora", rank=2, steps=4, learning_rate=0.1)
    assert done.learnt == "lora"
    assert small.state_dict().keys() == model.state_dict().keys()
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    delta = (small.get_parameter(name) - model.get_parameter(name)).detach()
    sizes = torch.linalg.svdvals(delta.double())
    assert sizes[1] > 1e-3 > 1e3 * sizes[2]


@pytest.mark.parametrize(("family", "cls"), [*HEADS, ("deberta_v2", None), ("mpnet", None)])
def test_merged_deltas_answer_like_the_deltas(family, cls):
    model = tiny(family, cls)
    small = pruned(model, data_of(model), score="magnitude", select="greedy", recover=())
    batch, keys = batch_of(model), small.state_dict().keys()
    before = outputs(small, batch)
    with adapting(small, Lora(rank=3, head=True), alone=True):
        assert torch.equal(outputs(small, batch), before)
        for name, own in small.named_parameters():
            if "adapter.cols" in name:
                nn.init.normal_(own, 0, 0.2)
        beside = outputs(small, batch)
    assert far(beside, before) > 1e-2
    assert far(outputs(small, batch), beside) < 1e-5
    assert small.state_dict().keys() == keys


@pytest.mark.parametrize(
    "drive", [own for own in names("drive") if own not in (*TRAINING, LIBRARY)]
)
def test_every_drive_ends_with_it(drive):
    model = tiny("bert")
    data, sites = data_of(model), anatomy(model).of(*FEW.get(drive, ("heads", "neurons")))
    seen = []
    job = job_of(
        model, sites, data, score="knowledge", budget={"density": 0.5},
        recover=["least_squares", {"name": "finetune", "steps": 8}],
    )  # fmt: skip
    plan = build("drive", drive).run(job)
    small = finish(job, plan, lambda bare: seen.append(copy.deepcopy(bare)))
    bare = pruned(model, data, score="knowledge", sites=FEW.get(drive, ("heads", "neurons")),
                  select="greedy", drive=drive, recover=["least_squares"])  # fmt: skip
    assert torch.equal(outputs(seen[0], data[0]), outputs(bare, data[0]))
    assert not torch.equal(outputs(small, data[0]), outputs(bare, data[0]))
    assert job.trained.steps == 8


@pytest.mark.parametrize("train", MODES)
def test_the_seed_decides_and_no_other_random_number_is_drawn(train):
    model, dense = tiny("bert"), tiny("bert", seed=1)
    data = data_of(model, 5)
    state, found = torch.get_rng_state(), []
    for seed in (0, 0, 1):
        small = copy.deepcopy(model)
        Finetune(train=train, steps=4, seed=seed).mend(Pruned(small, dense, data))
        found.append(outputs(small, data[0]))
    assert torch.equal(torch.get_rng_state(), state)
    one, again, other = found
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_it_learns_from_training_data_where_there_is_some():
    model = tiny("bert")
    few, many = data_of(model), [batch_of(model, 4, seed=9)] * 5
    for training, samples in ((None, 12), (many, 20), (iter(many), 20)):
        job = job_of(
            model, anatomy(model).of("heads"), few, score="magnitude", budget={"density": 0.5},
            recover=[{"name": "finetune", "epochs": 1}], training=training,
        )  # fmt: skip
        finish(job, build("drive", "oneshot").run(job))
        assert (job.trained.samples, job.trained.steps) == (samples, samples // 4)


def test_what_a_grid_masks_stays_masked():
    model = tiny("bert")
    sites = anatomy(model).grid(".*query", (2, 2))
    settings = {"score": "magnitude", "budget": {"density": 0.5, "metric": "units"}}

    def run(last):
        job = job_of(model, sites, data_of(model), recover=[last], **settings)
        return finish(job, build("drive", "oneshot").run(job))

    small = run({"name": "finetune", "steps": 3})
    name = "bert.encoder.layer.0.attention.self.query.weight"
    own, before = small.get_parameter(name), model.get_parameter(name)
    assert 0 < (own == 0).double().mean() < 1
    assert (own != before)[own != 0].all()
    sparse = torch.cat([p.flatten() == 0 for n, p in small.named_parameters() if "query.w" in n])
    assert sparse.double().mean() == 0.5
    adapted = run({"name": "finetune", "steps": 3, "train": "lora"}).get_parameter(name)
    assert torch.equal(adapted == 0, own == 0)
    assert (adapted != before)[own != 0].all()


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    hands = {"now": 100.0}
    monkeypatch.setattr(trainer._pace, "time", SimpleNamespace(perf_counter=lambda: hands["now"]))
    return hands


def test_the_time_is_kept(clock, monkeypatch):
    answer = Teacher.__call__

    def slowly(*given):
        clock["now"] += 7
        return answer(*given)

    monkeypatch.setattr(Teacher, "__call__", slowly)
    model = tiny("bert")
    _, done = touched(model, data_of(model), minutes=1)
    assert (done.steps, done.seconds) == (8, 56)


def test_the_rate_follows_the_clock_where_time_is_short(clock):
    pace = Pace(steps=1000, seconds=10.0, warmup=0.2)
    rates = {}
    for now in (0.0, 1.0, 2.0, 6.0, 9.0, 10.0, 11.0):
        clock["now"] = 100.0 + now
        rates[now] = pace.rate(1)
    expected = {0.0: 0.0075, 1.0: 0.5, 2.0: 1.0, 6.0: 0.5, 9.0: 0.125, 10.0: 0.0, 11.0: 0.0}
    assert rates == pytest.approx(expected)


def test_it_ends_before_a_step_that_would_be_late(clock):
    pace = Pace(seconds=10.0)
    clock["now"] = 108.0
    assert not pace.over(4)
    clock["now"] = 108.1
    assert pace.over(4)


def test_without_a_time_the_clock_has_no_say(clock):
    pace = Pace(steps=4, warmup=0.5)
    clock["now"] = 1e6
    assert [pace.rate(step) for step in range(4)] == [0.25, 0.75, 0.75, 0.25]
    assert [pace.over(done) for done in (1, 3, 4)] == [False, False, True]


@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        ({}, (None, 120)),
        ({"minutes": 3}, (None, 180)),
        ({"steps": 5}, (5, None)),
        ({"epochs": 1.5}, (15, None)),
        ({"epochs": 2, "steps": 30, "minutes": 1}, (20, 60)),
    ],
)
def test_limits_bound_each_other(settings, limits):
    last = Finetune(**settings)
    assert (last._steps(10), last._seconds) == limits


@pytest.mark.parametrize(
    ("recover", "message"),
    [
        (["finetune", "least_squares"], "finetune comes before least_squares.* put it last"),
        (["least_squares", "finetune", "finetune"], "finetune comes before finetune.*only once"),
    ],
)
def test_another_order_is_refused(recover, message):
    with pytest.raises(PrunusError, match=message):
        parted(build("recover", name) for name in recover)
    model = tiny("bert")
    with pytest.raises(PrunusError, match=message):
        pruned(model, data_of(model), recover=recover)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 4}, "rank belongs to train: lora, not to train: all"),
        ({"train": "lora", "freeze_embeddings": False}, "embeddings learn with train: all, not"),
        ({"train": "adapters"}, "'all', 'biases_and_norms' or 'lora'"),
        ({"minutes": 0}, "greater than 0"),
        ({"warmup_ratio": 1}, "less than 1"),
    ],
)
def test_settings_that_do_not_fit_are_told(settings, message):
    with pytest.raises(PrunusError, match=message):
        build("recover", {"name": "finetune", **settings})


def test_what_cannot_be_learnt_is_told():
    model = tiny("bert")
    with pytest.raises(PrunusError, match="no batches to learn from"):
        touched(model, [], steps=1)
    with pytest.raises(PrunusError, match="loss is not finite; lower learning_rate"):
        touched(model, data_of(model), steps=3, learning_rate=1e30)
    with pytest.raises(PrunusError, match="nothing in recover trains; add finetune"):
        pruned(model, data_of(model), training=data_of(model))
    bare = nn.Linear(2, 2, bias=False)
    block = learning(bare, "biases_and_norms", embeddings=False)
    with pytest.raises(PrunusError, match="a Linear has no such weights; use train: all"), block:
        pass
    assert bare.weight.requires_grad
