"""Translators through training, pruning and report."""

import json

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import prunus
from prunus.cli import main
from prunus.errors import PrunusError
from prunus.recipe import read, read_training
from prunus.recipe.run import run
from prunus.recipe.train import train
from prunus.report import read as read_report
from prunus.task._average import Averaged
from tests.task.pairs import PAIRS, translator, words, write
from tests.tiny import tiny

SIZES = {"d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 1, "num_heads": 4}
TARGETS = [target for _, target in PAIRS]
SPLITS = {"validation": 6, "calibration": 8}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tiny translator, a few pairs, and ``recipe.yaml``."""
    folder = tmp_path_factory.mktemp("translation")
    data = write(folder / "pairs.jsonl", times=2)
    said = {
        "model": str(translator(folder / "dense")),
        "task": {"name": "translation", "data": data, "splits": SPLITS, "max_new_tokens": 6},
        "budget": {"density": 0.5},
        "calibration": {"samples": 8, "batch_size": 4},
        "latency": None,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(said))
    fresh = {"name": "t5", "vocabulary": 60, "config": SIZES}
    quick = {"max_steps": 2, "batch_size": 4, "learning_rate": 0.01}
    training = {"model": fresh, "task": said["task"], "training": quick}
    (folder / "train.yaml").write_text(yaml.safe_dump(training))
    return folder


@pytest.fixture
def at(place, tmp_path, in_process):
    """Runs the recipe with changes; what was saved is opened in this process."""

    def at(*changes):
        return run(read(place / "recipe.yaml", changes), tmp_path / "out", quiet=True)

    return at


@pytest.fixture
def learn(place, tmp_path):
    """Trains by the recipe with changes and tells the folder."""

    def learn(*changes, out="out"):
        train(read_training(place / "train.yaml", changes), tmp_path / out, quiet=True)
        return tmp_path / out

    return learn


def test_a_pruned_translator_is_reported(at, tmp_path):
    report = at()
    assert report.quality.metric == "bleu"
    assert "tok:13a" in report.quality.signature
    assert list(report.quality.baselines) == ["copied_source"]
    assert report.flops.pruned < report.flops.dense
    assert report.equivalence.reloaded_vs_shrunk == 0
    assert report.equivalence.masked_vs_shrunk < 1e-4
    assert report.detail.scored_by == "chrF"
    assert set(report.detail.changes) == {"worse", "better"}
    said = json.loads((tmp_path / "out/report.json").read_text())
    assert set(said["metrics"]) == {"chrf", "loss"}
    assert read_report(tmp_path / "out") == report
    page = (tmp_path / "out/report.html").read_text()
    changes = [own for kind in report.detail.changes.values() for own in kind.examples]
    assert changes
    assert changes[0].texts[0] in page
    assert "(chrF " in page


def test_tokens_of_both_languages_stay(at, tmp_path):
    report = at("vocab=seen")
    assert report.vocabulary.tokens.pruned < report.vocabulary.tokens.dense
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out/model")
    for text in TARGETS:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_touch_up_learns_from_references(at):
    report = at("recover=[least_squares, {name: finetune, steps: 2}]")
    assert report.touch_up.steps == 2


@pytest.mark.parametrize(
    "drive",
    [
        ("drive=gradual", "training.max_steps=4"),
        ("drive={name: stepwise, steps: 2, recovery: 1}",),
    ],
)
def test_translators_are_pruned_while_they_learn(at, drive):
    report = at(*drive, "training.batch_size=8", "training.embedding_rate=2")
    assert report.params.pruned < report.params.dense


@pytest.mark.parametrize("key", ["label_smoothing=.1", "averaging=.9"])
def test_a_drive_that_trains_refuses_what_it_cannot_do(place, key):
    with pytest.raises(PrunusError, match="is for `prunus train`"):
        read(place / "recipe.yaml", ["drive=gradual", f"training.{key}"])


def test_models_without_a_decoder_are_refused(place, tmp_path):
    prunus.save(tiny("t5", "T5EncoderModel"), tmp_path / "encoder", words())
    with pytest.raises(PrunusError, match=r"has no head for the task.*Seq2SeqLM"):
        run(read(place / "recipe.yaml", [f"model={tmp_path}/encoder"]), tmp_path / "o", quiet=True)


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("t5", SIZES),
        ("bart", {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16,
                  "decoder_ffn_dim": 16, "max_position_embeddings": 64}),
        ("marian", {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16,
                    "decoder_ffn_dim": 16, "max_position_embeddings": 64}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("pieces", ["bpe", "unigram"])
def test_a_new_network_learns_with_its_own_tokenizer(learn, family, sizes, pieces):
    model = {"name": family, "vocabulary": 60, "pieces": pieces, "config": sizes}
    out = learn(f"model={json.dumps(model)}", "training.precision=bfloat16")
    opened, tokenizer = (
        auto.from_pretrained(out) for auto in (AutoModelForSeq2SeqLM, AutoTokenizer)
    )
    assert opened.config.model_type == family
    assert opened.dtype == torch.float32
    assert opened.config.vocab_size == len(tokenizer) <= 60
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    for text in TARGETS:
        ids = tokenizer(text)["input_ids"]
        assert ids[-1] == 1
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    record = json.loads((out / "training.json").read_text())
    assert record["model"]["name"] == family
    assert "tok:13a" in record["quality"]["signature"]
    assert record["quality"]["n"] == 6


def test_it_learns_to_translate(learn, place):
    first, last = (
        json.loads((learn(f"training.max_steps={steps}", *more, out=str(steps)) / "training.json")
                   .read_text())["quality"]["extra"]["loss"]
        for steps, more in ((1, ()), (60, ("training.embedding_rate=5", "training.averaging=.8")))
    )  # fmt: skip
    assert last < 0.8 * first


def test_what_a_family_does_not_know_is_told(learn):
    with pytest.raises(
        PrunusError, match=r"unknown key of a t5's configuration 'd_modle'.*d_model"
    ):
        learn("model={name: t5, config: {d_modle: 16}}")
    with pytest.raises(PrunusError, match="a new bert has no head ForSeq2SeqLM"):
        learn("model={name: bert}")
    with pytest.raises(PrunusError, match="no bart can be made so"):
        learn("model={name: bart, config: {d_model: 10, encoder_attention_heads: 3}}")
    with pytest.raises(PrunusError, match="unknown network 't6'"):
        learn("model={name: t6}")
    with pytest.raises(PrunusError, match=r"model: pieces: Input should be 'bpe' or 'unigram'"):
        learn("model={name: t5, pieces: words}")
    with pytest.raises(PrunusError, match="a new t5 learns translation alone"):
        learn("model={name: t5}", "task={name: glue, subset: sst2}")


def test_embeddings_learn_at_a_rate_of_their_own(learn):
    slow, same = (
        load_file(learn(f"training.embedding_rate={rate}", "training.evaluate=false", out=name)
                  / "model.safetensors")
        for name, rate in {"slow": 1e-6, "same": 1}.items()
    )  # fmt: skip
    name = "shared.weight"
    torch.manual_seed(0)
    assert (slow[name] - same[name]).abs().max() > 1e-3
    none = load_file(learn("training.learning_rate=1.0e-9", "training.evaluate=false", out="none")
                     / "model.safetensors")  # fmt: skip
    assert torch.allclose(slow[name], none[name], atol=1e-5)
    other = "encoder.block.0.layer.1.DenseReluDense.wi.weight"
    assert (slow[other] - none[other]).abs().max() > 1e-3


def test_an_average_follows_its_definition():
    model = nn.Linear(2, 1)
    averaged, expected = Averaged(model, 0.75), None
    for step in range(4):
        with torch.no_grad():
            model.weight.fill_(step)
        averaged.on_step_end(None, None, None, model=model)
        expected = step if expected is None else 0.75 * expected + 0.25 * step
    averaged.on_train_end(None, None, None, model=model)
    assert model.weight[0, 0].item() == pytest.approx(expected)


def test_smoothing_spreads_the_label(learn):
    sizes = json.dumps({**SIZES, "dropout_rate": 0})
    quiet = f"model={{name: t5, vocabulary: 60, config: {sizes}}}"
    one = ("training.max_steps=1", "training.evaluate=false", quiet)
    plain, smooth, flat = (
        json.loads((learn(*one, f"training.label_smoothing={amount}", out=str(amount))
                    / "training.json").read_text())["loss"]
        for amount in (0, 0.3, 0.9)
    )  # fmt: skip
    uniform = plain + (flat - plain) / 0.9
    assert smooth == pytest.approx(0.7 * plain + 0.3 * uniform, abs=1e-4)
    assert abs(smooth - plain) > 1e-3


def test_the_command_line_from_scratch_to_a_pruned_model(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = place / "recipe.yaml"
    assert main(["train", str(place / "train.yaml"), "--out", "dense", "--quiet"]) == 0
    assert main(["eval", "dense", "--recipe", str(recipe), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("bleu ")
    assert main(["fetch", "dense", "kept"]) == 0
    before, after = (load_file(f"{name}/model.safetensors") for name in ("dense", "kept"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert AutoTokenizer.from_pretrained("kept")("hier")["input_ids"]
    capsys.readouterr()
    changed = ["model=kept", "evaluation.batch_size=4", "--out", "out"]
    assert main(["run", str(recipe), *changed]) == 0
    out = capsys.readouterr().out
    assert "bleu" in out
    assert "copied source" in out
    assert prunus.load("out/model").num_parameters() < prunus.load("dense").num_parameters()


def test_fetching_without_a_hub_is_told(tmp_path, capsys):
    assert main(["fetch", "google-t5/t5-small", str(tmp_path / "t5")]) == 2
    assert "'google-t5/t5-small' was not found" in capsys.readouterr().err
    assert not (tmp_path / "t5").exists()
