"""Small convolutional classifiers, and the sites of their channels written by hand."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification
from transformers.modeling_outputs import ImageClassifierOutput

from prunus.site import Site, Slice


class Residual(nn.Module):
    """Two convolutions with batch norms, one of them around a residual, and a linear layer."""

    def __init__(self, classes: int = 3, width: int = 8) -> None:
        """Random everything: batch norms have statistics and scales of both signs."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(width, classes)
        for norm in (self.bn1, self.bn2):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias, 0, 0.3)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.running_mean, 0, 0.3)
        self.eval()

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> Any:
        """Logits, and the loss where there are labels."""
        x = self.pool(self.relu(self.bn1(self.conv1(pixel_values))))
        y = self.bn2(self.conv2(x))
        y += x
        logits = self.head(self.relu(y).mean((2, 3)))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ImageClassifierOutput(loss=loss, logits=logits)


def residual(seed: int = 0) -> Residual:
    """The network with weights of a seed."""
    torch.manual_seed(seed)
    return Residual()


def resnet(width: int = 8) -> ResNetForImageClassification:
    """A small ResNet of transformers, as it is made."""
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=width, hidden_sizes=[2 * width, 3 * width], depths=[1, 2],
        layer_type="basic", num_labels=3,
    )  # fmt: skip
    return ResNetForImageClassification(config).eval()


def images(size: int = 4, pixels: int = 8, seed: int = 0) -> dict[str, Tensor]:
    """A batch of random images with labels."""
    torch.manual_seed(seed)
    pixel_values = torch.randn(size, 3, pixels, pixels)
    return {"pixel_values": pixel_values, "labels": torch.randint(3, (size,))}


def outputs_of(model: nn.Module, *paths: str, name: str = "") -> Site:
    """The channels that modules put out together, with their batch norms where they follow."""
    slices, outlets, folds = [], {}, []
    for path in paths:
        outlets[path] = Slice(f"{path}.weight", (0,), (1,))
        norm = path.replace("conv", "bn")
        slices.append(outlets[path])
        if norm != path and isinstance(model.get_submodule(norm), nn.BatchNorm2d):
            leaves = ("weight", "bias", "running_mean", "running_var")
            slices += [Slice(f"{norm}.{leaf}", (0,), (1,)) for leaf in leaves]
            folds.append((path, norm))
    units = len(model.get_parameter(f"{paths[0]}.weight"))
    return Site(
        name or f"{paths[0]}:channels", "channels", (units,), tuple(slices),
        outlets=outlets, folds=tuple(folds),
    )  # fmt: skip
