import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForImageClassification

import prunus
from prunus import networks
from prunus.checkpoint import load
from prunus.errors import PrunusError
from prunus.registry import build, names

SMALL = {
    "cifar_resnet": ({"depth": 8, "widths": (4, 6, 9)}, 12),
    "vgg": ({"depth": 11, "widths": (4, 5, 6, 7, 8), "hidden": 10, "batch_norm": True}, 32),
    "alexnet": ({"widths": (4, 5, 6, 7, 8), "hidden": 10}, 64),
}
SIZES = {
    ("cifar_resnet", 10, ()): 269_722,
    ("cifar_resnet", 10, (("depth", 56),)): 853_018,
    ("cifar_resnet", 10, (("depth", 110),)): 1_727_962,
    ("vgg", 1000, (("depth", 11),)): 132_863_336,
    ("vgg", 1000, (("depth", 13),)): 133_047_848,
    ("vgg", 1000, ()): 138_357_544,
    ("vgg", 1000, (("batch_norm", True),)): 138_365_992,
    ("vgg", 1000, (("depth", 19),)): 143_667_240,
    ("alexnet", 1000, ()): 61_100_840,
}
"""Parameters, as the papers and torchvision have them."""


def small(name, seed=0, labels=3):
    """A tiny network whose norms have seen data."""
    settings, size = SMALL[name]
    torch.manual_seed(seed)
    config = {"num_labels": labels, "image_size": size, "num_channels": 3}
    model = build("networks", {"name": name, **settings}).build(config)
    with torch.no_grad():
        model.train()(torch.randn(4, 3, size, size))
    return model.eval(), torch.randn(2, 3, size, size)


@pytest.mark.parametrize(("name", "labels", "settings"), SIZES)
def test_networks_are_as_large_as_published(name, labels, settings):
    config = {"num_labels": labels, "image_size": 224, "num_channels": 3}
    with torch.device("meta"):
        model = build("networks", {"name": name, **dict(settings)}).build(config)
    assert sum(p.numel() for p in model.parameters()) == SIZES[name, labels, settings]


def test_every_network_is_tested():
    assert names("networks") == sorted(SMALL)


def test_tensors_are_called_as_elsewhere():
    vgg, alexnet, resnet = (
        small(name)[0].state_dict() for name in ("vgg", "alexnet", "cifar_resnet")
    )
    assert {"features.0.weight", "features.1.running_mean", "classifier.6.bias"} <= vgg.keys()
    assert {"features.10.weight", "classifier.1.weight", "classifier.6.bias"} <= alexnet.keys()
    assert {"conv1.weight", "layer3.0.bn2.bias", "linear.weight"} <= resnet.keys()


@pytest.mark.parametrize("name", SMALL)
def test_a_network_comes_back_by_auto_classes_and_by_prunus(name, tmp_path):
    model, images = small(name)
    prunus.save(model, tmp_path)
    with torch.no_grad():
        logits = model(images).logits
        assert AutoConfig.from_pretrained(tmp_path).model_type == name
        for opened in (AutoModelForImageClassification.from_pretrained(tmp_path), load(tmp_path)):
            assert type(opened) is type(model) is networks.model_of(name)
            assert torch.equal(opened.eval()(images).logits, logits)


@pytest.mark.parametrize("name", SMALL)
def test_the_loss_is_the_cross_entropy_of_the_labels(name):
    model, images = small(name)
    labels = torch.tensor([2, 0])
    found = model(images, labels=labels)
    right = found.logits.log_softmax(-1)[torch.arange(2), labels]
    assert torch.allclose(found.loss, -right.mean())


def test_the_shortcut_skips_pixels_and_pads_channels():
    block = small("cifar_resnet")[0].layer2[0]
    torch.nn.init.zeros_(block.bn2.weight)
    torch.nn.init.zeros_(block.bn2.bias)
    x = torch.rand(2, 4, 6, 6)
    expected = torch.zeros(2, 6, 3, 3)
    expected[:, 1:5] = x[:, :, ::2, ::2]
    assert torch.equal(block(x), expected)


@pytest.fixture
def weights(tmp_path):
    """The tensors of a small residual network, and where to write some."""
    state = small("cifar_resnet")[0].state_dict()
    return {k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "bare.safetensors"


def made(path, labels=3):
    settings, size = SMALL["cifar_resnet"]
    config = {"num_labels": labels, "image_size": size, "num_channels": 3}
    return build("networks", {"name": "cifar_resnet", **settings, "weights": str(path)}).build(
        config
    )


@pytest.mark.parametrize("labels", [3, 5])
def test_bare_weights_fill_a_network_and_a_head_that_fits(weights, labels):
    tensors, path = weights
    save_file(tensors, path)
    found = made(path, labels).state_dict()
    for name, tensor in tensors.items():
        assert (labels != 3 and name.startswith("linear.")) or torch.equal(found[name], tensor)


def test_other_weights_are_refused(weights):
    tensors, path = weights
    save_file({k: v for k, v in tensors.items() if k != "bn1.bias"}, path)
    with pytest.raises(PrunusError, match=r"1 tensors .* bn1\.bias: missing in the file"):
        made(path)
    save_file({**tensors, "conv1.weight": torch.zeros(5, 3, 3, 3)}, path)
    with pytest.raises(PrunusError, match=r"conv1\.weight: \(5, 3, 3, 3\) in the file, here \(4"):
        made(path)
    path.write_bytes(b"nothing")
    with pytest.raises(PrunusError, match=r"weights .* not readable"):
        made(path)


@pytest.mark.parametrize(("name", "size"), [("vgg", 31), ("alexnet", 62)])
def test_images_that_are_too_small_are_refused(name, size):
    config = {"num_labels": 3, "image_size": size, "num_channels": 3}
    with pytest.raises(PrunusError, match=f"needs images of {size + 1} pixels or more"):
        build("networks", {"name": name, **SMALL[name][0]}).build(config)
    model = build("networks", {"name": name, **SMALL[name][0]}).build(
        {**config, "image_size": size + 1}
    )
    assert model.eval()(torch.randn(1, 3, size + 1, size + 1)).logits.shape == (1, 3)


@pytest.mark.parametrize("depth", [2, 19, 21])
def test_a_depth_without_whole_blocks_is_refused(depth):
    with pytest.raises(PrunusError, match="not 6 n"):
        build("networks", {"name": "cifar_resnet", "depth": depth})


@pytest.mark.data
def test_the_shared_residual_network_is_as_good_as_its_note_says(tmp_path):
    root = Path(os.environ.get("PRUNUS_MODELS", "")) / "cifar-resnet20"
    if "PRUNUS_DATA" not in os.environ or not root.is_dir():
        pytest.skip("PRUNUS_DATA and PRUNUS_MODELS are not set: no CIFAR-10 or no ResNet-20")
    task = build("task", {
        "name": "image_classification", "data": "cifar10", "splits": {"validation": 1000},
        "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
    })  # fmt: skip
    data = task.prepare(task.processor(None))
    network = build(
        "networks", {"name": "cifar_resnet", "weights": str(root / "model.safetensors")}
    )
    quality = data.evaluate(network.build({**data.head_config(), **data.input_config()}))
    assert quality.value > 77
