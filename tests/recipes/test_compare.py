import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.errors import PrunusError
from prunus.measure.size import bytes
from prunus.plan import Plan
from prunus.probe.work import flops, single
from prunus.recipe import read
from prunus.recipe._bars import Bars
from prunus.recipe._formats import bfloat16, int8
from prunus.recipe._rivals import ROUNDING, Rivals
from prunus.recipe._settings import Evaluation
from prunus.recipe.compare import compare
from prunus.recipe.run import run
from prunus.registry import build
from prunus.report import Report
from prunus.safe import SafePoints
from tests.tiny import answers, batch_of, far, tiny

NAMES = ("random", "narrower", "shallower", "bfloat16", "int8")


def rivals(
    family="bert",
    drive="oneshot",
    score="obs",
    density=0.5,
    sites=("heads", "neurons"),
    select="curves",
    recover=("reselect", "least_squares"),
    **config,
):
    """The rivals of a tiny model's plan, and the model pruned by it."""
    model = tiny(family, **{"layers": 4, **config})
    batches = [batch_of(model, size=4, length=8, seed=seed) for seed in range(2)]
    job = job_of(
        model, anatomy(model).of(*sites), batches,
        score=score, budget={"density": density}, select=select, recover=recover,
    )  # fmt: skip
    how = build("drive", drive)
    plan = Plan(how.run(job))
    return Rivals(job, plan, how), finish(job, plan)


def work(model, batch):
    return flops(model, single({key: batch[key] for key in ("input_ids", "attention_mask")}, 8))


@pytest.fixture(scope="module")
def made():
    """Every rival of a BERT of four layers at half the FLOPs."""
    found, small = rivals()
    return SimpleNamespace(
        found=found, small=small, rivals={name: found.make(name) for name in NAMES}
    )


@pytest.mark.parametrize("name", ["random", "narrower", "shallower"])
def test_rivals_take_at_most_the_flops_of_the_pruned_model(made, name):
    batch = made.found.job.batches[0]
    dense, pruned, other = (
        work(model, batch) for model in (made.found.job.model, made.small, made.rivals[name].model)
    )
    assert other <= (1 + ROUNDING) * pruned < dense
    assert other > 0.8 * pruned


def test_a_narrower_model_is_uniform_and_the_widest_that_fits(made):
    sites = anatomy(made.rivals["narrower"].model)
    counts = {kind: {s.units for s in sites.of(kind).values()} for kind in ("heads", "neurons")}
    assert all(len(own) == 1 for own in counts.values())
    (neurons,) = counts["neurons"]
    cost, here = made.found.flops, made.found.job.sites
    wider = {n: next(iter(counts[s.kind])) + (s.kind == "neurons") for n, s in here.items()}
    assert neurons < 24
    assert cost(wider) > (1 + ROUNDING) * cost(made.found.plan.counts())


def test_a_narrower_model_keeps_what_the_recipe_scored_best():
    found, _ = rivals(recover=())
    kept = found.make("narrower").model
    name = "encoder.layer.2:neurons"
    best = found.scored[0][name].order.flip(0)[: anatomy(kept)[name].units]
    rows = found.job.model.bert.encoder.layer[2].intermediate.dense.weight[best.sort().values]
    assert torch.equal(kept.bert.encoder.layer[2].intermediate.dense.weight, rows)


def test_a_shallower_model_has_whole_layers_and_loses_the_least(made):
    sites = anatomy(made.rivals["shallower"].model)
    units = {name: site.units for name, site in sites.items()}
    found, _ = made.found.scored
    losses = {
        layer: sum(
            float(found[f"encoder.layer.{layer}:{k}"].loss[-1]) for k in ("heads", "neurons")
        )
        for layer in range(4)
    }
    for place, layer in enumerate(sorted(losses, key=losses.__getitem__)):
        expected = (0, 0) if place < 2 else (4, 24)
        names = (f"encoder.layer.{layer}:{kind}" for kind in ("heads", "neurons"))
        assert tuple(units.get(name, 0) for name in names) == expected


def test_scores_that_only_rank_let_the_last_layers_go():
    found, _ = rivals(score="random", select="greedy", recover=())
    made = found.make("shallower")
    assert "without encoder.layer 2, 3: the last; not mended" in made.made


@pytest.mark.parametrize(("rounding", "layers"), [(0.05, 2), (0, 1)])
def test_a_unit_that_a_plan_leaves_over_costs_no_rival_a_layer(monkeypatch, rounding, layers):
    monkeypatch.setattr("prunus.recipe._rivals.ROUNDING", rounding)
    found, _ = rivals(score="magnitude", select="greedy", recover=())
    keep = {
        name: torch.full(site.shape, ".layer.0:" in name or ".layer.1:" in name)
        for name, site in found.job.sites.items()
    }
    keep["encoder.layer.1:neurons"][0] = False
    found.plan = Plan(keep)
    assert len(anatomy(found.make("shallower").model).of("neurons")) == layers


def test_chance_is_seeded_and_mended(made):
    batch = made.found.job.batches[0]
    again = Rivals(made.found.job, made.found.plan, made.found.drive, seed=0).make("random")
    other = Rivals(made.found.job, made.found.plan, made.found.drive, seed=1).make("random")
    mine = answers(made.rivals["random"].model, batch)["logits"]
    assert torch.equal(answers(again.model, batch)["logits"], mine)
    assert far(answers(other.model, batch)["logits"], mine) > 1e-3
    bare, _ = rivals(recover=())
    dense = answers(made.found.job.model, batch)["logits"]
    unmended = answers(bare.make("random").model, batch)["logits"]
    assert far(mine, dense) < far(unmended, dense)


def test_what_was_scored_is_not_scored_again(monkeypatch):
    found, _ = rivals()

    def scored(*_):
        raise AssertionError("scored again")

    monkeypatch.setattr("prunus.drive._job.look", scored)
    for name in ("random", "narrower", "shallower"):
        found.make(name)


@pytest.mark.parametrize("drive", ["sweep", "iterative"])
def test_drives_that_go_on_are_scored_on_the_dense_model(drive):
    settings = {"score": "knowledge", "select": "greedy", "recover": ["least_squares"]}
    found, _ = rivals(drive=drive, layers=2, **settings)
    model = found.job.model
    fresh = job_of(
        model, found.job.sites, found.job.batches, budget={"density": 0.5}, **settings
    ).score(Plan())
    for name, scores in found.scored[0].items():
        assert torch.allclose(scores, fresh[name])
    assert work(found.make("narrower").model, found.job.batches[0]) > 0


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("distilbert", {}),
        ("mpnet", {}),
        ("t5", {"cls": "T5ForSequenceClassification"}),
        ("llama", {"cls": "LlamaForSequenceClassification", "pad_token_id": 0}),
    ],
)
def test_other_families_have_rivals(family, more):
    found, small = rivals(family, **more)
    batch = found.job.batches[0]
    for name in NAMES:
        model = found.make(name).model
        assert answers(model, batch)["logits"].isfinite().all()
        if name in ("narrower", "shallower"):
            assert work(model, batch) <= (1 + ROUNDING) * work(small, batch)


def test_the_dense_model_stays_as_it_is(made):
    before = tiny("bert", layers=4).state_dict()
    after = made.found.job.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("name", ["bfloat16", "int8"])
def test_other_formats_answer_nearly_alike_in_fewer_bytes(made, name):
    batch, rival = made.found.job.batches[0], made.rivals[name]
    dense = answers(made.found.job.model, batch)["logits"]
    other = answers(rival.model, batch)["logits"].float()
    assert 0 < far(other, dense) < 0.05
    assert bytes(rival.model) < bytes(made.found.job.model)
    assert not rival.pruned


def test_the_bytes_of_int8_are_those_of_its_weights():
    made = int8(OnProcessor(nn.Linear(32, 16), nn.LayerNorm(16)))
    inputs = 4 + 8  # scale and zero point
    assert bytes(made) == 32 * 16 + 4 * 16 + 2 * 4 * 16 + inputs


class OnProcessor(nn.Sequential):
    device = torch.device("cpu")


def test_int8_says_where_it_cannot_run():
    model = tiny("bert").to("meta")
    with pytest.raises(PrunusError, match=r"int8 runs on the processor only; .* on meta"):
        int8(model)
    assert bfloat16(tiny("bert")).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        ({"sites": ["sublayers"], "recover": ()}, "narrower", "single units, which cannot be"),
        ({"sites": ["neurons"]}, "shallower", "sites of neurons do not make up whole layers"),
        ({"density": 0.2, "layers": 2}, "shallower", "even a single layer takes more FLOPs"),
    ],
)
def test_what_cannot_be_made_says_why(settings, name, message):
    how = {"score": "magnitude", "select": "greedy"} | settings
    found, _ = rivals(**how)
    with pytest.raises(PrunusError, match=message):
        found.make(name)


def test_whole_layers_and_sublayers_have_a_shallower_rival():
    for kind in ("layers", "sublayers"):
        found, small = rivals(sites=[kind], recover=(), score="magnitude", select="greedy")
        made = found.make("shallower")
        batch = found.job.batches[0]
        assert work(made.model, batch) <= (1 + ROUNDING) * work(small, batch)


@pytest.fixture(scope="module")
def compared(place, tmp_path_factory):
    """The report of a run with two baselines, one of which cannot be made."""
    changes = ["compare=[narrower, shallower, int8]", "sites=neurons", "budget.of=sites"]
    out = tmp_path_factory.mktemp("compared") / "out"
    run(read(place / "recipe.yaml", [*changes, "evaluation.examples=3"]), out, quiet=True)
    return Report.model_validate_json((out / "report.json").read_text()), out


def test_a_run_reports_its_baselines(compared):
    report, out = compared
    narrow, shallow, whole = report.compared
    assert [narrow.name, shallow.name, whole.name] == ["narrower", "shallower", "int8"]
    assert narrow.flops <= report.flops.pruned
    assert narrow.params <= report.params.pruned
    assert narrow.ahead == pytest.approx(report.quality.pruned - narrow.quality)
    assert [(entry.batch, entry.length) for entry in narrow.latency_ms] == [(2, 24)]
    assert shallow.made == "not made: sites of neurons do not make up whole layers"
    assert shallow.quality is shallow.flops is None
    assert (whole.params, whole.flops) == (report.params.dense, report.flops.dense)
    assert whole.bytes < report.bytes.dense
    assert whole.latency_ms[0].ideal == 1
    assert "compare" in report.seconds.model_dump()
    assert "narrower: " in (out / "run.log").read_text()
    assert "What else could have been done" in (out / "report.html").read_text()


def test_a_run_reports_what_the_mean_hides(compared):
    report, _ = compared
    detail, quality = report.detail, report.quality
    assert set(detail.recall) == {"bad", "good"}
    assert sum(own.n for own in detail.recall.values()) == quality.n
    right = sum(own.pruned * own.n for own in detail.recall.values()) / quality.n
    assert right == pytest.approx(quality.pruned)
    worst = min(own.pruned for own in detail.recall.values())
    assert detail.recall[detail.worst_class].pruned == worst
    lost, won = (detail.changes[kind].n for kind in ("right_to_wrong", "wrong_to_right"))
    assert 100 * (won - lost) / quality.n == pytest.approx(quality.pruned - quality.dense)
    assert 1 - (lost + won) / quality.n == pytest.approx(quality.agreement)
    assert 0 <= detail.calibration_error.pruned <= 100


def test_rows_for_benchmarks_need_no_run(reviewed):
    found, small, prepared = reviewed
    pruned = prepared.evaluate(small)
    with Bars(quiet=True) as bars:
        (row,) = compare(
            ["random"], found, prepared, pruned,
            evaluation=Evaluation(), latency=None, length=8, bars=bars, safe=SafePoints(),
        )  # fmt: skip
    assert row.latency_ms == ()
    assert row.quality == prepared.evaluate(found.make("random").model).value
    assert json.loads(row.model_dump_json())["name"] == "random"


@pytest.fixture
def reviewed(place):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(place / "dense")
    tokenizer = AutoTokenizer.from_pretrained(place / "dense")
    prepared = build("task", read(place / "recipe.yaml").task).prepare(tokenizer, 2)
    job = job_of(
        model, anatomy(model).of("heads", "neurons"), prepared.batches("calibration", 8),
        score="obs", budget={"density": 0.5}, select="curves", recover=["least_squares"],
    )  # fmt: skip
    how = build("drive", "oneshot")
    plan = how.run(job)
    return Rivals(job, plan, how), finish(job, plan), prepared


@pytest.mark.parametrize(
    ("said", "expected"),
    [("true", NAMES), ("false", ()), ("int8", ("int8",)), ("[random, int8]", ("random", "int8"))],
)
def test_a_recipe_names_its_baselines(place, said, expected):
    assert read(place / "recipe.yaml", [f"compare={said}"]).compare == expected


def test_an_unknown_baseline_is_told(place):
    with pytest.raises(PrunusError, match=r"compare: unknown baseline 'shalower'.*'shallower'"):
        read(place / "recipe.yaml", ["compare=[shalower]"])
