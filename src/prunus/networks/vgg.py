"""Plain deep networks of small convolutions: Simonyan and Zisserman, arXiv 1409.1556."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from transformers import PretrainedConfig

from prunus.networks._network import ImageClassifier, Network, classes_of, require_size

BLOCKS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions before each pooling, by the layers with weights (table 1: A, B, D, E)."""
WIDTHS = (64, 128, 256, 512, 512)
HIDDEN = 4096
GRID = 7
"""Rows and columns that the classifier sees."""


class VggConfig(PretrainedConfig):
    """Configuration of a :class:`VggForImageClassification`.

    Attributes:
        depth: layers with weights: 11, 13, 16 or 19.
        widths: channels of the five blocks.
        hidden: neurons of the two hidden layers of the classifier.
        batch_norm: behind each convolution.
        dropout: behind each hidden layer.
        num_channels: of an image.
        image_size: pixels of a side.
    """

    model_type = "vgg"

    depth: int = 16
    widths: list[int] | tuple[int, ...] = WIDTHS
    hidden: int = HIDDEN
    batch_norm: bool = False
    dropout: float = 0.5
    num_channels: int = 3
    image_size: int = 224


class VggForImageClassification(ImageClassifier):
    """Five blocks of convolutions, each halving the image, and three linear layers."""

    config_class = VggConfig
    head = "classifier.6"

    def __init__(self, config: VggConfig) -> None:
        """A new network, randomly drawn.

        Raises:
            PrunusError: the images are too small to be halved five times.
        """
        super().__init__(config)
        require_size(config, 2 ** len(config.widths))
        self.features = nn.Sequential(*_features(config))
        self.avgpool = nn.AdaptiveAvgPool2d(GRID)
        self.classifier = nn.Sequential(
            nn.Linear(config.widths[-1] * GRID**2, config.hidden), nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden), nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, classes_of(config)),
        )  # fmt: skip
        self.post_init()

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits ``[image, class]`` of ``[image, channel, row, column]``."""
        return self.classifier(self.avgpool(self.features(pixels)).flatten(1))


def _features(config: VggConfig) -> list[nn.Module]:
    layers: list[nn.Module] = []
    inputs = config.num_channels
    for width, count in zip(config.widths, BLOCKS[config.depth], strict=True):
        for _ in range(count):
            layers.append(nn.Conv2d(inputs, width, 3, padding=1))
            if config.batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU())
            inputs = width
        layers.append(nn.MaxPool2d(2))
    return layers


class Vgg(Network):
    """A new plain network, whose tensors are called as torchvision calls them.

    Attributes:
        depth: layers with weights.
        widths: channels of the five blocks.
        hidden: neurons of the two hidden layers of the classifier.
        batch_norm: behind each convolution.
        dropout: behind each hidden layer.
        weights: a safetensors file with its tensors, or None.
    """

    model: ClassVar[type[ImageClassifier]] = VggForImageClassification
    depth: Literal[11, 13, 16, 19] = 16
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = WIDTHS
    hidden: PositiveInt = HIDDEN
    batch_norm: bool = False
    dropout: float = Field(default=0.5, ge=0, lt=1)
