import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaModel,
    T5Config,
    T5Model,
)

from prunus.errors import PrunusError
from prunus.registry import build
from prunus.task import Training, train


@pytest.fixture
def task(reviews):
    splits = {"train": 20, "validation": 10}
    return build("task", {"name": "text_classification", "data": reviews, "splits": splits})


def quick(**settings):
    return Training(**{"max_steps": 2, "batch_size": 4, "learning_rate": 0.01, **settings})


def test_two_steps_make_a_model_that_opens(task, pretrained, tmp_path):
    out = train(pretrained, task, quick(), tmp_path / "runs" / "dense", quiet=True)
    assert out == tmp_path / "runs" / "dense"
    assert [path.name for path in out.parent.iterdir()] == ["dense"]
    assert not [path for path in out.rglob("*") if path.suffix in (".bin", ".pt")]
    model = AutoModelForSequenceClassification.from_pretrained(out)
    assert model.config.id2label == {0: "bad", 1: "good"}
    assert model.dtype == torch.float32
    record = json.loads((out / "training.json").read_text())
    assert record["training"]["max_steps"] == 2
    quality = task.prepare(AutoTokenizer.from_pretrained(out), 2).evaluate(model)
    assert record["quality"]["value"] == pytest.approx(quality.value)
    assert set(record["quality"]["baselines"]) == {"majority", "bag_of_words"}


@pytest.mark.parametrize("freeze", [True, False])
def test_frozen_embeddings_stay_and_the_rest_moves(task, pretrained, tmp_path, freeze):
    settings = quick(freeze_embeddings=freeze, evaluate=False)
    out = train(pretrained, task, settings, tmp_path / "dense", quiet=True)
    before, after = (load_file(f / "model.safetensors") for f in (pretrained, out))
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(before[words], after[f"bert.{words}"]) == freeze
    dense = "encoder.layer.0.intermediate.dense.weight"
    assert not torch.equal(before[dense], after[f"bert.{dense}"])


def test_warmup_in_steps_is_instead_of_a_share(task, pretrained, tmp_path):
    def moved(name, **settings):
        own = quick(max_steps=1, evaluate=False, optimizer="sgd", momentum=0, **settings)
        after = load_file(train(pretrained, task, own, tmp_path / name, True) / "model.safetensors")
        key = "encoder.layer.0.intermediate.dense.weight"
        return not torch.equal(
            load_file(pretrained / "model.safetensors")[key], after[f"bert.{key}"]
        )

    assert not moved("steps", warmup_steps=5, warmup_ratio=0)
    assert moved("none", warmup_steps=0, warmup_ratio=0.5)
    assert not moved("share", warmup_ratio=0.5)


def test_the_seed_makes_it_repeatable(task, pretrained, tmp_path):
    runs = {}
    for name, seed in {"one": 0, "two": 0, "three": 1}.items():
        out = train(pretrained, task, quick(seed=seed, evaluate=False), tmp_path / name, quiet=True)
        runs[name] = load_file(out / "model.safetensors")["classifier.weight"]
    assert torch.equal(runs["one"], runs["two"])
    assert not torch.equal(runs["one"], runs["three"])


def test_it_learns_and_a_head_of_another_size_is_made_anew(task, pretrained, write, tmp_path):
    rows = [
        ("text", "label"),
        *((f"{w} film {n}", w) for n in range(9) for w in ("a", "the", "is")),
    ]
    three = build("task", {"name": "text_classification", "data": write(rows, "three.csv")})
    first = train(pretrained, three, quick(evaluate=False), tmp_path / "three", quiet=True)
    second = train(first, task, quick(max_steps=60), tmp_path / "two", quiet=True)
    assert json.loads((second / "training.json").read_text())["quality"]["value"] == 100


def test_regression_trains_with_a_shorter_length(pretrained, write, tmp_path):
    rows = [("text", "label"), *((f"{'very ' * n}good", n / 2) for n in range(12))]
    task = {"name": "text_classification", "data": write(rows), "regression": True}
    task = build("task", task | {"splits": {"validation": 4}})
    out = train(pretrained, task, quick(max_length=4), tmp_path / "dense", quiet=True)
    model = AutoModelForSequenceClassification.from_pretrained(out)
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")


def test_question_answering_learns_and_opens(pretrained, asked, tmp_path):
    task = {"name": "question_answering", "data": asked, "splits": {"validation": 10}}
    task |= {"max_length": 14, "stride": 3, "max_question_length": 4}
    task = build("task", task)
    out = train(pretrained, task, quick(max_steps=60), tmp_path / "dense", quiet=True)
    model = AutoModelForQuestionAnswering.from_pretrained(out)
    assert (type(model).__name__, model.config.num_labels) == ("BertForQuestionAnswering", 2)
    record = json.loads((out / "training.json").read_text())["quality"]
    assert (record["value"], record["extra"]) == (100, {"exact_match": 100})
    assert list(record["baselines"]) == ["nearest_sentence"]
    assert task.prepare(AutoTokenizer.from_pretrained(out), 2).evaluate(model).value == 100


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_other_families_train(family, task, bert, tokenizer, tmp_path):
    if family == "llama":
        sizes = {"hidden_size": 16, "intermediate_size": 12, "num_attention_heads": 2}
        config = LlamaConfig(vocab_size=bert.vocab_size, num_hidden_layers=1, **sizes)
        model = LlamaModel(config)
    else:
        sizes = {"d_model": 16, "d_kv": 4, "d_ff": 12, "num_heads": 2, "num_layers": 1}
        special = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2}
        model = T5Model(T5Config(vocab_size=bert.vocab_size, **sizes, **special))
    model.save_pretrained(tmp_path / family)
    tokenizer.save_pretrained(tmp_path / family)
    out = train(tmp_path / family, task, quick(), tmp_path / "dense", quiet=True)
    assert json.loads((out / "training.json").read_text())["quality"]["n"] == 10


def test_a_body_that_lacks_tensors_is_told(task, pretrained, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in pretrained.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    tensors = load_file(broken / "model.safetensors")
    tensors.pop("encoder.layer.0.output.dense.weight")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PrunusError, match=r"lacks 1 pretrained .*layer\.0\.output\.dense\.weight"):
        train(broken, task, quick(), tmp_path / "dense", quiet=True)
    assert not (tmp_path / "dense").exists()


def test_nothing_is_left_behind_by_a_failure(task, pretrained, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("prunus.task._train._quality", stop)
    with pytest.raises(KeyboardInterrupt):
        train(pretrained, task, quick(), tmp_path / "runs" / "dense", quiet=True)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_folder_of_something_else_is_not_replaced(task, pretrained, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    with pytest.raises(PrunusError, match=r"thesis exists and was not written by training"):
        train(pretrained, task, quick(), tmp_path / "thesis", quiet=True)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "mine"


def test_missing_models_splits_and_schedulers_are_told(task, pretrained, reviews, tmp_path):
    with pytest.raises(PrunusError, match=r"'no/model' was not found"):
        train("no/model", task, quick(), tmp_path / "dense", quiet=True)
    untested = build("task", {"name": "text_classification", "data": reviews})
    with pytest.raises(PrunusError, match=r"unknown split 'validation'"):
        train(pretrained, untested, quick(), tmp_path / "dense", quiet=True)
    with pytest.raises(ValueError, match=r"unknown scheduler 'linear_'.*'linear'"):
        quick(scheduler="linear_")


def test_a_training_that_is_done_is_not_done_again(task, pretrained, tmp_path):
    out = train(pretrained, task, quick(evaluate=False), tmp_path / "dense", quiet=True)
    when = (out / "training.json").stat().st_mtime_ns
    train(pretrained, task, quick(evaluate=False), out, quiet=True, resume=True)
    assert (out / "training.json").stat().st_mtime_ns == when
    train(pretrained, task, quick(evaluate=False, seed=3), out, quiet=True, resume=True)
    assert json.loads((out / "training.json").read_text())["training"]["seed"] == 3


@pytest.mark.parametrize("device", ["nowhere", "cuda:77"])
def test_a_device_that_is_not_there(task, pretrained, tmp_path, device):
    with pytest.raises(PrunusError, match=f"device '{device}' cannot be used: "):
        train(pretrained, task, quick(), tmp_path / "dense", quiet=True, device=device)
    assert not list(tmp_path.glob("dense*"))
