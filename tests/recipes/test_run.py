import json
import shutil

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import prunus
from prunus.errors import PrunusError
from prunus.measure.size import parameters
from prunus.plan import Plan
from prunus.probe.work import flops, single
from prunus.recipe import read
from prunus.recipe.check import check
from prunus.recipe.rewrite import rewrite
from prunus.recipe.run import run
from prunus.report import Report
from tests.recipes.dense import dense, recipe, wordpiece
from tests.tiny import tiny

FILES = {"model", "plan.safetensors", "recipe.yaml", "report.json", "report.html", "run.log"}
SMALL = ("latency=null", "evaluation.baselines=false")


@pytest.fixture
def at(place, tmp_path):
    """Runs the session's recipe with changes, into a folder of its own."""

    def at(*changes, out="out"):
        return run(read(place / "recipe.yaml", changes), tmp_path / out, quiet=True)

    return at


def test_a_run_leaves_everything_and_nothing_else(place, finished):
    assert {path.name for path in finished.iterdir()} == FILES
    assert not [path.name for path in place.iterdir() if path.name.startswith(".")]
    log = (finished / "run.log").read_text()
    assert "recover: 3 of 4" in log
    assert log.endswith("done\n")


def test_the_report_holds_what_was_measured(place, finished):
    report = Report.model_validate_json((finished / "report.json").read_text())
    before, after = prunus.load(place / "dense"), prunus.load(finished / "model")
    assert report.params.model_dump() == {
        "dense": parameters(before),
        "pruned": parameters(after),
    }
    sample = single({"input_ids": torch.ones(1, 1, dtype=torch.long)}, int(report.flops.length))
    assert (report.flops.dense, report.flops.pruned) == (
        flops(before, sample),
        flops(after, sample),
    )
    assert report.flops.padded.length == 24
    assert report.bytes.pruned < report.bytes.dense
    assert 0.4 < report.density.of_sites <= 0.5 < report.density.of_model < 0.6
    assert report.kept == Plan.load(finished / "plan.safetensors").kept()
    assert 0 < report.equivalence.masked_vs_shrunk < 1e-5
    assert report.equivalence.dense_vs_shrunk > 1e-3
    assert report.equivalence.reloaded_vs_shrunk == 0
    assert report.quality.n == 20
    assert set(report.quality.baselines) == {"majority", "bag_of_words"}
    assert [(entry.batch, entry.length) for entry in report.latency_ms] == [(2, 24)]
    spent = report.seconds.model_dump()
    assert {"load", "score", "select", "recover", "shrink", "evaluate", "reload"} <= set(spent)
    assert sum(spent.values()) - spent["total"] <= spent["total"]
    assert report.peak_memory_bytes > 0
    assert report.zeros is None
    assert report.calibration["samples"] == 16
    assert report.plan == Plan.load(finished / "plan.safetensors").fingerprint()


def test_the_model_has_a_card(place, finished, tmp_path):
    text = (finished / "model/README.md").read_text()
    data = ModelCard(text).data
    report = Report.model_validate_json((finished / "report.json").read_text())
    assert data.pipeline_tag == "text-classification"
    assert data.eval_results[0].metric_value == round(report.quality.pruned, 4)
    assert report.quality.margin is not None
    assert (data.base_model, data.datasets) == (None, None)
    rewrite(str(finished), tmp_path / "again", portable=True)
    assert "prunus.load('path/to/this/folder')" in text
    assert "trust_remote_code=True" in (tmp_path / "again/README.md").read_text()


def test_the_card_of_others_stays_as_it_is(place, tmp_path):
    shutil.copytree(place / "dense", tmp_path / "dense")
    theirs = "# Modèle\r\n".encode("latin-1")
    (tmp_path / "dense/README.md").write_bytes(theirs)
    rewrite(str(tmp_path / "dense"), tmp_path / "again")
    assert (tmp_path / "again/README.md").read_bytes() == theirs


def test_what_is_reported_of_quality_is_what_the_checkpoints_do(place, finished):
    report = json.loads((finished / "report.json").read_text())
    said = read(finished / "recipe.yaml")
    from prunus.recipe._parts import build

    for which, folder in {"dense": place / "dense", "pruned": finished / "model"}.items():
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        prepared = build("task", said.task).prepare(tokenizer, 2)
        assert prepared.evaluate(model).value == report["quality"][which]


def test_the_saved_recipe_runs_again_to_the_same_plan(finished, tmp_path, in_process):
    run(read(finished / "recipe.yaml", SMALL), tmp_path / "again", quiet=True)
    one, two = (Plan.load(path / "plan.safetensors") for path in (finished, tmp_path / "again"))
    assert one == two
    weights = [load_file(p / "model/model.safetensors") for p in (finished, tmp_path / "again")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_an_older_run_is_replaced_as_a_whole(at, tmp_path, in_process):
    at(*SMALL)
    (tmp_path / "out" / "stray.txt").write_text("old")
    at(*SMALL, "score=magnitude", "drive=oneshot", "recover=[]")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    settings = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert settings["score"].items() >= {"name": "magnitude", "norm": "l1"}.items()


def test_a_folder_of_something_else_is_not_replaced(at, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    with pytest.raises(PrunusError, match=r"thesis exists and is no run of prunus"):
        at(out="thesis")
    (tmp_path / "note").write_text("mine")
    with pytest.raises(PrunusError, match=r"note exists and is no run"):
        at(out="note")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "mine"


def test_the_model_to_be_pruned_is_not_replaced(place, finished):
    for model, out in ((place / "dense", place / "dense"), (finished, finished)):
        with pytest.raises(PrunusError, match="holds the model to be pruned"):
            run(read(place / "recipe.yaml", [f"model={model}"]), out, quiet=True)
    assert (finished / "model" / "config.json").exists()


def test_a_pruned_model_is_pruned_further(finished, at, in_process):
    report = at(*SMALL, f"model={finished}")
    first = json.loads((finished / "report.json").read_text())
    assert report.params.dense == first["params"]["pruned"] > report.params.pruned


@pytest.mark.parametrize(
    ("family", "more"), [("llama", {"pad_token_id": 0}), ("t5", {"eos_token_id": 2})]
)
def test_other_families_run(family, more, at, tmp_path, in_process):
    head = {"llama": "LlamaForSequenceClassification", "t5": "T5ForSequenceClassification"}[family]
    prunus.save(tiny(family, head, num_labels=2, **more), tmp_path / "other", wordpiece())
    report = at("evaluation.baselines=false", "latency.pairs=1", f"model={tmp_path / 'other'}")
    assert 0 < report.equivalence.masked_vs_shrunk < 1e-5
    assert report.flops.pruned < report.flops.dense


def test_tokens_that_are_never_seen_go(place, at, tmp_path, in_process):
    report = at("latency.pairs=1", "vocab=seen", "task.splits={train: 4, validation: 50}")
    told = report.vocabulary
    assert told.seen == ("train", "calibration")
    assert told.split == "validation"
    assert told.tokens.dense == 50 > told.tokens.pruned
    assert told.bytes.pruned * 50 == told.bytes.dense * told.tokens.pruned == report_bytes(told)
    assert 0 < told.changed == told.unknown < 1
    folder = tmp_path / "out"
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert len(tokenizer) == told.tokens.pruned
    plan = Plan.load(folder / "plan.safetensors")
    assert report.kept["tokens:vocab"] == plan.kept()["tokens:vocab"] == (len(tokenizer), 50)
    dense, pruned = prunus.load(place / "dense"), prunus.load(folder / "model")
    assert report.params.model_dump() == {"dense": parameters(dense), "pruned": parameters(pruned)}
    assert prunus.shrink(dense, plan).config.vocab_size == len(tokenizer)
    said = read(folder / "recipe.yaml")
    assert said.vocab.model_dump() == {
        "keep": "seen", "splits": ("train", "calibration"), "min_count": 1
    }  # fmt: skip
    assert check(said).vocabulary == told.tokens


def test_zeros_in_place_are_counted(place, at, tmp_path, in_process):
    model = prunus.load(place / "dense")
    with torch.no_grad():
        model.bert.encoder.layer[0].attention.self.query.weight[:, ::2] = 0
    prunus.save(model, tmp_path / "zeros", wordpiece())
    report = at(*SMALL, "recover=[]", "sites=[neurons]", f"model={tmp_path / 'zeros'}")
    assert [(own.name, own.nonzero, own.of) for own in report.zeros.layers if own.pruned] == [
        ("bert.encoder.layer.0.attention.self.query", 512, 1024)
    ]
    dense, small = (
        sum(p.weight.numel() for p in prunus.load(path).modules() if hasattr(p, "in_features"))
        for path in (tmp_path / "zeros", tmp_path / "out/model")
    )
    assert report.zeros.of == small
    assert report.zeros.neural_compressor == (512 + dense - small) / dense
    assert report.zeros.nonzero == report.zeros.of - 512


def test_a_vocabulary_may_be_all_that_goes(at, tmp_path, in_process):
    report = at(*SMALL, "vocab=seen", "budget.density=1")
    assert report.quality.agreement == 1  # no token of the validation split went
    assert report.flops.dense == report.flops.pruned
    assert report.params.dense - report.params.pruned == 32 * (
        report.vocabulary.tokens.dense - report.vocabulary.tokens.pruned
    )
    config = json.loads((tmp_path / "out/model/config.json").read_text())
    assert "prunus" not in config
    assert config["model_type"] == "bert"


def report_bytes(told):
    """Rows of 32 float32 numbers."""
    return told.tokens.dense * told.tokens.pruned * 32 * 4


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        ("vocab=sean", "vocab"),
        ("vocab={splits: [tests]}", "vocab"),
        ("vocab={splits: development}", "unknown split 'development'"),
        ("vocab={min_count: 99999}", "no token was seen 99999 times or more"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_told(at, vocab, message):
    with pytest.raises(PrunusError, match=message):
        at(*SMALL, vocab)


@pytest.mark.parametrize(
    "step", ["_pruned.finish", "_steps.save", "_steps.fresh_answer", "_times.latencies"]
)
def test_nothing_is_left_by_an_interruption(at, tmp_path, monkeypatch, step):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"prunus.recipe.{step}", stop)
    with pytest.raises(KeyboardInterrupt):
        at()
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_reloads_otherwise_is_refused(at, tmp_path, monkeypatch):
    def other(*_):
        return torch.zeros(8, 2)

    monkeypatch.setattr("prunus.recipe._steps.fresh_answer", other)
    with pytest.raises(PrunusError, match=r"answers .* away from the shrunk one: this is a fault"):
        at()
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_does_not_open_is_told(tmp_path):
    from prunus.recipe._fresh import fresh_answer

    with pytest.raises(PrunusError, match=r"(?s)does not open in a fresh.*it has no config\.json"):
        fresh_answer(tmp_path, {"input_ids": torch.ones(1, 3, dtype=torch.long)}, "cpu")


def test_claims_that_do_not_hold_are_refused(at, monkeypatch):
    monkeypatch.setattr("prunus.recipe._measured.parameters", lambda _: 7)
    with pytest.raises(PrunusError, match=r"the plan claims .*'parameters': \d+.* has .*: 7"):
        at()


def test_grids_are_masked_in_one_shot(at, tmp_path, in_process):
    grid = "sites=[{grid: [2, 2], match: '.*query'}]"
    with pytest.raises(PrunusError, match="for grids in weights use recover: sparsegpt"):
        at(*SMALL, grid, "budget.metric=units")
    with pytest.raises(PrunusError, match="not the input of one module"):
        at(*SMALL, grid, "budget.metric=units", "recover=[]")
    units = (grid, "budget.metric=units", "drive=oneshot", "recover=[]", "score=magnitude")
    report = at(*SMALL, *units)
    assert report.density.of_sites == 0.5
    assert report.params.dense == report.params.pruned
    weights = load_file(tmp_path / "out/model/model.safetensors")
    queries = [value for name, value in weights.items() if name.endswith("query.weight")]
    assert (torch.stack(queries) == 0).double().mean() == 0.5


def test_two_grids_on_one_weight_are_refused(at):
    with pytest.raises(PrunusError, match=r"two grids share '.*query:grid'; narrow"):
        at("sites=[{grid: [2, 2], match: '.*query'}, {grid: [1, 1], match: '.*(query|key)'}]")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["sites=queries"], "unknown site kind 'queries'"),
        (["budget.rules=[{match: layr, floor: .5}]"], "rule 'layr' matches no site"),
        (["budget.floor=.9"], "the floors alone"),
        (["budget.density=.0001", "budget.floor=.1"], "the floors alone"),
        (["model=no/such"], "model 'no/such' was not found"),
        (["calibration.split=development"], "unknown split 'development'"),
        (["evaluation.split=held"], "unknown split 'held'"),
        (["task.label=labelx"], "'labelx'"),
        (["task.labels=[bad, good, fair, fine]", "task.splits={train: 4, validation: 4}"], None),
        (["sites={grid: 2x2}", "budget.metric=weights"], "for grids in weights use recover"),
        (["recover=sparsegpt"], "sparsegpt mends linear layers whose single weights go"),
        (["device=nowhere"], "device 'nowhere' cannot be used"),
    ],
)
def test_what_check_and_run_refuse(place, tmp_path, changes, message):
    settings = read(place / "recipe.yaml", changes)
    if message is None:
        assert check(settings).samples
        return
    with pytest.raises(PrunusError, match=message):
        run(settings, tmp_path / "out", quiet=True)
    if not changes[0].startswith("device"):
        with pytest.raises(PrunusError, match=message):
            check(settings)
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_head_is_refused(at, tmp_path):
    body = dense(tmp_path / "body", head="BertModel")
    with pytest.raises(
        PrunusError, match=r"a BertModel has no head for the task.*ForSequenceC.*train"
    ):
        at(f"model={body}")


def test_a_model_without_a_tokenizer_is_refused(at, place, tmp_path):
    bare = tmp_path / "bare"
    prunus.save(prunus.load(place / "dense"), bare)
    with pytest.raises(PrunusError, match=r"bare holds no tokenizer: none of tokenizer\.json"):
        at(f"model={bare}")
    (bare / "tokenizer.json").write_text("{}")
    with pytest.raises(PrunusError, match="bare holds no tokenizer that opens"):
        at(f"model={bare}")


def test_labels_outside_the_head_are_refused(tmp_path):
    path = recipe(tmp_path)
    rows = (tmp_path / "reviews.csv").read_text().replace(",good", ",2").replace(",bad", ",0")
    (tmp_path / "reviews.csv").write_text(rows)
    with pytest.raises(PrunusError, match=r"class 2, outside the head's 2 outputs"):
        run(read(path), tmp_path / "out", quiet=True)


def test_a_preview_says_what_the_budget_means(place):
    settings = ["budget.rules=[{match: ':heads', floor: .25}]", "score=magnitude"]
    found = check(read(place / "recipe.yaml", settings))
    assert found.sites["encoder.layer.0:heads"] == 4
    assert found.rules == {":heads": 2}
    assert found.samples == 16
    amounts = {amount.metric: amount for amount in found.amounts}
    assert amounts["units"].whole == amounts["units"].sites == 56
    assert amounts["params"].whole == parameters(prunus.load(place / "dense"))
    work = amounts["flops"]
    assert 0 < work.whole - work.stays - 0.5 * work.sites < 0.05 * work.sites
