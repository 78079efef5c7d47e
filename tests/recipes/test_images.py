"""Networks for images through training, pruning and report."""

import copy
import json

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import (
    AutoModelForImageClassification,
    ConvNextConfig,
    EfficientNetConfig,
    MobileNetV2Config,
    ResNetConfig,
    ViTConfig,
)

from prunus.errors import PrunusError
from prunus.recipe import Recipe, read, read_training
from prunus.recipe.check import check
from prunus.recipe.checkpoints import evaluate
from prunus.recipe.run import run
from prunus.recipe.train import train
from prunus.report import read as read_report
from prunus.task._pixels import Pixels

STOCK = {
    "resnet": ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], num_channels=1
    ),
    "convnext": ConvNextConfig(
        hidden_sizes=[8, 12], depths=[1, 1], num_stages=2, patch_size=2, num_channels=1,
    ),
    "mobilenet_v2": MobileNetV2Config(
        depth_multiplier=0.1, num_channels=1, image_size=16, min_depth=4,
    ),
    "efficientnet": EfficientNetConfig(
        width_coefficient=0.1, depth_coefficient=0.1, num_channels=1, image_size=64, hidden_dim=128,
    ),
    "vit": ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        image_size=8, patch_size=4, num_channels=1,
    ),
}  # fmt: skip
QUICK = {"max_steps": 4, "learning_rate": 1.0e-3, "evaluate": False}
FEW = {"train": 64, "validation": 40, "calibration": 32}


def write(path, **said):
    path.write_text(yaml.safe_dump(said))
    return path


def stock(folder, name, classes=10):
    """A random model of transformers for the digits."""
    torch.manual_seed(0)
    config = copy.deepcopy(STOCK[name])
    config.num_labels = classes
    AutoModelForImageClassification.from_config(config).save_pretrained(folder)
    Pixels(getattr(STOCK[name], "image_size", 16), (0.3,), (0.4,)).save_pretrained(folder)
    return folder


def task(**more):
    return {"name": "image_classification", "splits": FEW, **more}


@pytest.mark.parametrize("name", STOCK)
def test_models_of_transformers_learn_images(name, tmp_path):
    dense = stock(tmp_path / "dense", name)
    recipe = write(tmp_path / "train.yaml", model=str(dense), task=task(), training=QUICK)
    train(read_training(recipe), tmp_path / "out", quiet=True)
    opened = AutoModelForImageClassification.from_pretrained(tmp_path / "out")
    assert opened.config.num_labels == 10
    quality = evaluate(str(tmp_path / "out"), task(), "validation", 16, quiet=True)
    assert quality.n == 40
    before, after = (load_file(tmp_path / f / "model.safetensors") for f in ("dense", "out"))
    same = [k for k in before if before[k].shape == after[k].shape]
    assert len(same) >= len(before) - 2
    assert not all(torch.equal(before[k], after[k]) for k in same)
    record = json.loads((tmp_path / "out/preprocessor_config.json").read_text())
    assert record["image_mean"] == [0.3]


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A tiny vision transformer that knows a little of the digits."""
    root = tmp_path_factory.mktemp("images")
    said = {"epochs": 2, "learning_rate": 3.0e-3, "evaluate": False}
    recipe = write(
        root / "train.yaml", model=str(stock(root / "stock", "vit")),
        task="image_classification", training=said,
    )  # fmt: skip
    train(read_training(recipe), root / "dense", quiet=True)
    return root / "dense"


def recipe_of(place, dense, **more):
    said = {
        "model": str(dense), "task": task(), "budget": {"density": 0.5},
        "calibration": {"samples": 32, "batch_size": 8}, "latency": {"batch": 2, "pairs": 2},
    }  # fmt: skip
    return read(write(place / "recipe.yaml", **(said | more)))


def test_a_run_prunes_and_reports_images_without_a_word_of_tokens(dense, tmp_path):
    run(recipe_of(tmp_path, dense), tmp_path / "out", quiet=True)
    report = read_report(tmp_path / "out")
    assert report.quality.n == 40
    assert report.flops.per == "image"
    assert report.flops.length is None
    assert report.flops.padded is None
    assert [(entry.batch, entry.length) for entry in report.latency_ms] == [(2, None)]
    assert report.params.pruned < report.params.dense
    assert set(report.detail.recall) == set("0123456789")
    assert "tokens" not in json.loads((tmp_path / "out/report.json").read_text())["calibration"]
    again = evaluate(str(tmp_path / "out"), task(), "validation", 16, quiet=True)
    assert again.value == pytest.approx(report.quality.pruned)
    assert (tmp_path / "out/model/preprocessor_config.json").is_file()


def test_a_preview_speaks_of_one_image(dense, tmp_path):
    assert check(recipe_of(tmp_path, dense)).length is None


@pytest.mark.parametrize(
    "drive",
    [
        {"recover": [{"name": "finetune", "steps": 3}]},
        {"drive": {"name": "gradual"}, "training": {"max_steps": 6}},
    ],
    ids=["finetune", "gradual"],
)
def test_images_are_learnt_while_and_after_pruning(dense, tmp_path, drive):
    run(recipe_of(tmp_path, dense, **drive), tmp_path / "out", quiet=True)
    assert read_report(tmp_path / "out").params.pruned > 0


REFUSED = {
    "vocab": ({"vocab": "seen"}, "no tokens; leave vocab out"),
    "length": ({"latency": {"length": 12}}, "latency.length: .* no tokens"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_texts_have_is_refused(dense, tmp_path, name):
    more, said = REFUSED[name]
    with pytest.raises(PrunusError, match=said):
        run(recipe_of(tmp_path, dense, **more), tmp_path / "out", quiet=True)


def test_a_model_of_other_classes_is_refused_by_a_run(tmp_path):
    dense = stock(tmp_path / "dense", "resnet", classes=3)
    with pytest.raises(PrunusError, match="outside the head's 3 outputs"):
        run(recipe_of(tmp_path, dense), tmp_path / "out", quiet=True)


def test_a_pretrained_model_of_other_image_sizes_is_refused_by_a_training(tmp_path):
    dense = stock(tmp_path / "dense", "vit")
    recipe = write(tmp_path / "t.yaml", model=str(dense), task=task(size=16), training=QUICK)
    with pytest.raises(PrunusError, match="or to the size and the channels"):
        train(read_training(recipe), tmp_path / "out", quiet=True)


@pytest.mark.parametrize(
    ("training", "said"),
    [({"max_length": 12}, "have no tokens"), ({"freeze_embeddings": True}, "has no embeddings")],
)
def test_settings_of_texts_are_refused_by_a_training(tmp_path, training, said):
    network = {"name": "cifar_resnet", "depth": 8, "widths": [4, 4, 4]}
    recipe = write(tmp_path / "t.yaml", model=network, task=task(), training={**QUICK, **training})
    with pytest.raises(PrunusError, match=said):
        train(read_training(recipe), tmp_path / "out", quiet=True)


def test_a_new_network_cannot_read_texts(tmp_path):
    words = {"name": "text_classification", "data": "reviews.csv"}
    recipe = write(tmp_path / "t.yaml", model={"name": "vgg"}, task=words)
    with pytest.raises(PrunusError, match="a new network has no tokenizer"):
        train(read_training(recipe), tmp_path / "out", quiet=True)


def test_a_network_of_an_unknown_name_is_refused(tmp_path):
    recipe = write(tmp_path / "t.yaml", model={"name": "vgs"}, task=task())
    with pytest.raises(PrunusError, match=r"unknown network 'vgs'\. Did you mean 'vgg'"):
        read_training(recipe)


def test_training_is_the_same_twice_and_another_with_another_seed(tmp_path):
    network = {"name": "cifar_resnet", "depth": 8, "widths": [4, 4, 4]}
    found = []
    for place, seed in enumerate((0, 0, 1)):
        said = {**QUICK, "seed": seed}
        recipe = write(
            tmp_path / "t.yaml", model=network, task=task(crop="shifted", flip=True), training=said
        )
        train(read_training(recipe), tmp_path / str(place), quiet=True)
        found.append(load_file(tmp_path / str(place) / "model.safetensors")["conv1.weight"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_run_takes_a_pretrained_model_only():
    with pytest.raises(ValueError, match="valid string"):
        Recipe.model_validate({"model": {"name": "vgg"}, "task": "image_classification"})
