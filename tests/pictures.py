"""Sets of small pictures, and small networks for them, where people look for the real ones."""

import io

import datasets
import torch
from PIL import Image
from transformers import (
    PretrainedConfig,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from prunus.task._pixels import Pixels

SETS = {
    "cifar10": ("uoft-cs/cifar10/plain_text", "img", "label", 10),
    "cifar100": ("uoft-cs/cifar100/cifar100", "img", "fine_label", 100),
    "flowers": ("dpdl-benchmark/oxford_flowers102", "image", "label", 102),
    "cats-dogs": ("microsoft/cats_vs_dogs", "image", "labels", 2),
}
"""Where a set lies in a mirror, its columns, and how many classes it has."""
SIZE = 16


def picture(colour, size=(12, 10), kind="png"):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def mirror(folder, name, count=16):
    """A set of which little is there: two splits of a few pictures, of two classes."""
    place, image, label, classes = SETS[name]
    shades = [int(240 * n / count) for n in range(count)]
    rows = {
        image: [{"bytes": picture((n, 90, 240 - n)), "path": None} for n in shades],
        label: [n % 2 for n in range(count)],
    }
    names = datasets.ClassLabel(names=[str(n) for n in range(classes)])
    features = datasets.Features({image: datasets.Image(decode=False), label: names})
    for split in ("train", "test"):
        path = folder / place / f"{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(rows, features).to_parquet(path)


def resnet(folder, classes):
    """A small ResNet with batch norms and bottlenecks."""
    sizes = {"embedding_size": 24, "hidden_sizes": [64, 128], "depths": [1, 1]}
    _save(ResNetForImageClassification, ResNetConfig(**sizes, num_labels=classes), folder)


def vit(folder, classes):
    """A small vision transformer."""
    sizes = {
        "hidden_size": 40, "num_hidden_layers": 2, "num_attention_heads": 10,
        "intermediate_size": 100, "image_size": SIZE, "patch_size": 8,
    }  # fmt: skip
    _save(ViTForImageClassification, ViTConfig(**sizes, num_labels=classes), folder)


def _save(cls, config: PretrainedConfig, folder):
    torch.manual_seed(0)
    cls(config).save_pretrained(folder)
    Pixels(SIZE, (0.5,) * 3, (0.5,) * 3).save_pretrained(folder)
