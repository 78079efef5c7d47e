"""What every plug-in owes, whichever they are: a new file in a folder joins without a new test."""

import copy

import pytest
import torch

import prunus
from prunus import registry
from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.edit import shrink
from prunus.errors import PrunusError
from prunus.plan import Plan
from prunus.probe import Teacher
from prunus.probe._evidence import ABLATION, BY_COLUMN, BY_INPUT
from prunus.probe._outputs import OUTPUTS
from prunus.recipe._model import LIBRARY, TRAINING
from prunus.recover import Repair
from prunus.score import Criterion, score
from tests.contract.draw import KINDS, counts, each
from tests.tiny import FAMILIES, auto_heads, batch_of, far, outputs, tiny

CRITERIA, DRIVES, RECOVER = (registry.names(folder) for folder in ("score", "drive", "recover"))
DRIVES = [name for name in DRIVES if name not in (*TRAINING, LIBRARY)]
"""Those that need neither a task (tests/recipes) nor known sizes (tests/library)."""
REPAIRS = [
    name
    for name in RECOVER
    if issubclass(found := registry.find("recover", name), Repair)
    and found.at != "module"  # which no drive but the library's takes: tests/library
]
CONVOLUTIONAL = ("bn_scale", "lrp")
"""Criteria that no transformer can be scored by: tests/reference."""
LEARNED = [name for name in CRITERIA if registry.find("score", name).learned]
"""Those that only a training brings about: test_gates."""
ANYWHERE = [name for name in CRITERIA if name not in (*CONVOLUTIONAL, *LEARNED)]
USUAL = ("heads", "neurons")
FEW = {"iterative": ("heads",)}
"""For drives that look at the data once for every unit that goes."""
GRID = r".*(query|query_proj|q_proj|q_lin|q|c_attn|dense|up_proj|fc1|lin1|wi)"


def settings_of(name):
    """A criterion by name; settings that it needs are its own defaults."""
    return registry.build("score", name)


def data_of(model, sizes=(3, 2)):
    """A few batches, padding among them."""
    return [batch_of(model, size, seed=seed) for seed, size in enumerate(sizes)]


def sites_of(model, kind):
    """The sites of a kind, grids included."""
    found = anatomy(model)
    return found.grid(GRID, (4, 2)) if kind == "grid" else found.of(kind)


def feeds(site, criterion):
    """Whether a site gives what a criterion reads at the input of one module."""
    asked = BY_INPUT.intersection(criterion.reads)
    return site.has_inlet or not (asked - BY_COLUMN if site.in_linear else asked)


def refusal(name, criterion, sites, batch):
    """Why a criterion cannot score these sites, or None."""
    looks = OUTPUTS.intersection(criterion.reads) or name == "fpgm"
    if looks and not all(site.outlets for site in sites.values()):
        return "not the output of linear layers"
    if criterion.loss == "labels" and "labels" not in batch:
        return "needs labels"
    if not all(feeds(site, criterion) for site in sites.values()):
        return "not the input of one module"
    if name == "lrp":
        return "explains image classifiers" if "input_ids" in batch else "cannot follow"
    if name == "bn_scale":
        return "crosses no batch norm"
    if ABLATION in criterion.reads and sum(site.units for site in sites.values()) > 256:
        return "at most 256 are measured"
    if name == "fluctuation" and any(site.kind == "sublayers" for site in sites.values()):
        return "is a single unit"
    return None


def answers_to(family, name):
    """Whether a family's usual head has the loss that a criterion asks for."""
    return settings_of(name).loss != "labels" or "labels" in batch_of(tiny(family))


def usual_score(family, otherwise):
    """A criterion of labels where the usual head learns from them."""
    return "fisher" if answers_to(family, "fisher") else otherwise


@pytest.mark.parametrize("name", CRITERIA)
@each(*((kind,) for kind in (*KINDS, "grid")))
def test_scores_are_finite_and_on_the_grid(name, family, kinds):
    model, criterion = tiny(family), settings_of(name)
    sites = sites_of(model, *kinds)
    data = data_of(model)
    learned = "learnt while the network trains" if criterion.learned else None
    if why := learned or refusal(name, criterion, sites, data[0]):
        with pytest.raises(PrunusError, match=why):
            score(model, data, sites, criterion)
        return
    found = score(model, data, sites, criterion)
    assert list(found) == list(sites)
    for where, values in found.items():
        assert tuple(values.shape) == sites[where].shape
        assert torch.isfinite(values).all()
        assert values.unique().numel() > 1 or sites[where].units == 1 or criterion.loss == "teacher"
        assert not values.requires_grad


@pytest.mark.parametrize(
    ("family", "name"),
    [(family, name) for family in FAMILIES for name in ANYWHERE if answers_to(family, name)],
)
def test_scoring_is_repeatable_and_leaves_the_model_alone(name, family):
    model, criterion = tiny(family), settings_of(name)
    data = data_of(model)
    model.train()
    model.get_submodule(next(iter(anatomy(model).values())).reader).eval()
    model.base_model.requires_grad_(False)
    modes = [module.training for module in model.modules()]
    grads = [parameter.requires_grad for parameter in model.parameters()]
    dense = copy.deepcopy(model.state_dict())
    sites = anatomy(model).of("heads", "neurons")
    once, again = (score(model, data, sites, criterion) for _ in range(2))
    assert all(torch.equal(once[where], again[where]) for where in sites)
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == grads
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(dense[k], v) for k, v in model.state_dict().items())
    calm = score(model.eval(), data, sites, criterion)
    assert all(torch.equal(once[where], calm[where]) for where in sites)


@pytest.mark.parametrize("name", ANYWHERE)
@pytest.mark.parametrize(
    ("family", "cls"),
    [
        ("bert", None),
        ("bert", "BertModel"),
        ("t5", None),
        ("t5", "T5EncoderModel"),
        ("llama", None),
    ],
)
def test_padding_does_not_count(name, family, cls):
    model, criterion = tiny(family, cls), settings_of(name)
    batch = batch_of(model)
    if criterion.loss == "labels" and "labels" not in batch:
        with pytest.raises(PrunusError, match="needs labels"):
            score(model, [batch], anatomy(model).of("heads"), criterion)
        return
    more = {"input_ids": 0, "attention_mask": 0}
    if batch.get("labels", torch.zeros(1)).dim() == 2:
        more["labels"] = -100
    wide = {
        key: torch.nn.functional.pad(batch[key], (0, 3), value=fill) for key, fill in more.items()
    }
    sites = anatomy(model).of("heads", "neurons")
    damaged = tiny(family, cls, seed=0)
    with torch.no_grad():
        next(damaged.parameters()).mul_(1.1)
    teacher = Teacher(model, 2.0)
    narrow, padded = (
        score(damaged, [data], sites, criterion, teacher) for data in (batch, {**batch, **wide})
    )
    rounding = 1e-3 if ABLATION in criterion.reads else 1e-4  # of differences of losses
    for where in sites:
        assert far(padded[where], narrow[where]) < rounding, where


@pytest.mark.parametrize("name", CRITERIA)
def test_a_criterion_says_where_it_comes_from(name):
    criterion = registry.find("score", name)
    assert issubclass(criterion, Criterion)
    assert criterion.score.__doc__
    assert criterion.__doc__


def run(family, drive, density=0.6, **settings):
    """(dense model, plan, shrunk model, cost) of one job on a fresh model."""
    model = tiny(family)
    settings = {
        "score": "knowledge", "recover": ["least_squares"], "kinds": FEW.get(drive, USUAL),
    } | settings  # fmt: skip
    kinds = settings.pop("kinds")
    sites = anatomy(model).of(*kinds)
    job = job_of(model, sites, data_of(model), budget={"density": density}, **settings)
    plan = registry.build("drive", drive).run(job)
    return model, plan, job


@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_drive_meets_and_fills_the_budget(family, drive):
    model, plan, job = run(family, drive)
    kept = counts(plan)
    assert set(plan) == set(job.sites)
    bare = job.cost(dict.fromkeys(plan, 0))
    limit = bare + 0.6 * (job.cost({}) - bare)
    assert job.cost(kept) <= limit
    cheapest = min(-job.cost.step(name, kept, -1) for name in plan if kept[name])
    assert limit - job.cost(kept) < cheapest
    assert all(torch.equal(v, tiny(family).state_dict()[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("drive", DRIVES)
@each(("heads", "neurons"), ("sublayers", "heads", "neurons"), ("heads", "queries", "neurons"))
def test_what_is_handed_back_is_cut_by_its_plan(drive, family, kinds):
    present = {site.kind for site in anatomy(tiny(family)).values()}
    _, plan, job = run(family, drive, 0.4, kinds=present.intersection(kinds))
    small, expected = finish(job, plan), shrink(job.model, plan)
    assert small.config.prunus == expected.config.prunus
    shapes = {name: tensor.shape for name, tensor in expected.state_dict().items()}
    assert {name: tensor.shape for name, tensor in small.state_dict().items()} == shapes
    dense = {name: tensor.requires_grad for name, tensor in job.model.named_parameters()}
    assert all(p.requires_grad == dense[name] for name, p in small.named_parameters())


@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_inputs_give_the_same_plan_and_weights(family, drive):
    (_, one, first), (_, other, second) = (run(family, drive) for _ in range(2))
    assert one == other
    weights = second.student.state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in first.student.state_dict().items())


def test_another_seed_is_another_plan():
    plans = {
        run("bert", "oneshot", score={"name": "random", "seed": seed}, recover=())[1]
        for seed in range(4)
    }
    assert len(plans) > 1


def real(batch, site):
    """[sample, token] where a site sees real tokens, or None."""
    if site.name.startswith("decoder."):
        return batch["labels"] != -100
    mask = batch.get("attention_mask")
    return None if mask is None else mask.bool()


def stream_after(model, site, batch):
    """[real tokens, width]: the residual stream after a reader's output is added."""
    seen = {}
    handles = [
        model.get_submodule(site.residual).register_forward_pre_hook(
            lambda _, args: seen.update(stream=args[0])
        ),
        model.get_submodule(site.block).register_forward_pre_hook(  # where no heads are left
            lambda _, args: seen.update({"stream": args[0], **seen} if args else {})
        ),
        model.get_submodule(site.reader).register_forward_hook(
            lambda _, __, out: seen.update(out=out)
        ),
    ]
    outputs(model, batch)
    for handle in handles:
        handle.remove()
    stream, mask = (seen["stream"] + seen["out"]).flatten(0, -2), real(batch, site)
    return stream if mask is None else stream[mask.flatten()]


def miss(job, site):
    """How far the student's stream after a reader is from the teacher's, over all data."""
    apart = (
        stream_after(job.student, site, batch) - stream_after(job.model, site, batch)
        for batch in job.batches
    )
    return sum(float(difference.square().sum()) for difference in apart)


FITTING = ("least_squares",)
"""Repairs that minimise what the student's stream lacks."""


@pytest.mark.parametrize("repair", REPAIRS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_repair_keeps_the_amount_and_touches_one_sublayer(family, repair):
    model = tiny(family)
    data = data_of(model, (4, 4))
    if registry.find("recover", repair).at == "weights":
        sites = anatomy(model).grid(GRID, "1x1")
        settings = {"score": "magnitude", "budget": {"density": 0.5, "metric": "weights"}}
    else:
        sites = anatomy(model).of("heads", "neurons")
        settings = {"score": usual_score(family, "knowledge"), "budget": {"density": 0.5}}
    bare, job = (job_of(model, sites, data, recover=r, **settings) for r in ((), (repair,)))
    plan = job.select(job.score(Plan()), Plan())
    with job.march() as march:
        for site in job.readers():
            before = {k: v.clone() for k, v in job.student.state_dict().items()}
            bare.student = copy.deepcopy(job.student)
            bare.alive = dict(job.alive)
            bare.cut({site.name: plan[site.name]})
            if repair == "bias" and model.get_submodule(site.reader).bias is None:
                with pytest.raises(PrunusError, match="has no bias"):
                    job.mend(march, site, plan)
                return
            after = job.mend(march, site, plan)
            assert counts(after) == counts(plan)
            if repair in FITTING:
                assert miss(job, site) <= miss(bare, site) * (1 + 1e-5) + 1e-6
            own = {part.tensor for part in site.slices} | {f"{site.reader}.bias"}
            for name, tensor in job.student.state_dict().items():
                same = tensor.shape == before[name].shape and torch.equal(tensor, before[name])
                assert same or name in own
            plan = after


@pytest.mark.parametrize("drive", [*DRIVES, LIBRARY])
@pytest.mark.parametrize(
    ("family", "cls"), [(family, cls) for family in FAMILIES for cls in auto_heads(family)]
)
def test_every_head_is_pruned_in_one_call(family, cls, drive, tmp_path):
    model = tiny(family, cls)
    data = data_of(model)
    said = {"sites": FEW.get(drive, USUAL), "drive": drive}
    if drive == LIBRARY:
        choices = {"name": drive, "densities": [0.25, 0.5], "folder": str(tmp_path)}
        said |= {"drive": choices, "recover": ("least_squares",)}
    small = prunus.prune(model, data, density=0.5, **said)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    answer = outputs(small, data[0])
    assert torch.isfinite(answer).all()
    assert far(answer, outputs(model, data[0])) > 1e-4


@each(*((kind,) for kind in KINDS), KINDS)
def test_every_kind_of_site_is_pruned_in_one_call(family, kinds):
    model = tiny(family, layers=4)
    found = {site.kind for site in anatomy(model).values()}
    small = prunus.prune(
        model, data_of(model), density=0.6, sites=[kind for kind in kinds if kind in found],
        score=usual_score(family, "random"), select="greedy", drive="oneshot", recover=(),
    )  # fmt: skip
    assert torch.isfinite(outputs(small, batch_of(model))).all()


def test_batches_may_be_any_iterable():
    model = tiny("bert")
    small = [
        prunus.prune(model, data, density=0.5)
        for data in (data_of(model), tuple(data_of(model)), iter(data_of(model)))
    ]
    batch = batch_of(model)
    assert torch.equal(outputs(small[0], batch), outputs(small[1], batch))
    assert torch.equal(outputs(small[0], batch), outputs(small[2], batch))


def test_a_model_in_training_mode_is_pruned_like_one_that_is_not():
    one, other = tiny("bert"), tiny("bert").train()
    data = data_of(one)
    small = prunus.prune(one, data, density=0.5)
    trained = prunus.prune(other, data, density=0.5)
    assert other.training
    assert trained.training
    assert torch.equal(outputs(small, data[0]), outputs(trained.eval(), data[0]))


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_is_pruned(family):
    model = tiny(family).bfloat16()
    data = [
        {k: v.bfloat16() if v.is_floating_point() else v for k, v in batch.items()}
        for batch in data_of(model)
    ]
    small = prunus.prune(model, data, density=0.5)
    assert small.dtype == torch.bfloat16
    assert torch.isfinite(outputs(small, data[0])).all()
