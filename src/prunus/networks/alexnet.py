"""The network of Krizhevsky, arXiv 1404.5997: five convolutions and three linear layers."""

from typing import ClassVar

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from transformers import PretrainedConfig

from prunus.networks._network import ImageClassifier, Network, classes_of, require_size

WIDTHS = (64, 192, 384, 256, 256)
HIDDEN = 4096
GRID = 6
"""Rows and columns that the classifier sees."""
SMALLEST = 63
"""Pixels of a side below which nothing is left before the last pooling."""


class AlexnetConfig(PretrainedConfig):
    """Configuration of an :class:`AlexnetForImageClassification`.

    Attributes:
        widths: channels of the five convolutions.
        hidden: neurons of the two hidden layers of the classifier.
        dropout: before each hidden layer.
        num_channels: of an image.
        image_size: pixels of a side.
    """

    model_type = "alexnet"

    widths: list[int] | tuple[int, ...] = WIDTHS
    hidden: int = HIDDEN
    dropout: float = 0.5
    num_channels: int = 3
    image_size: int = 224


class AlexnetForImageClassification(ImageClassifier):
    """Five convolutions, three of them pooled, and three linear layers."""

    config_class = AlexnetConfig
    head = "classifier.6"

    def __init__(self, config: AlexnetConfig) -> None:
        """A new network, randomly drawn.

        Raises:
            PrunusError: the images are too small.
        """
        super().__init__(config)
        require_size(config, SMALLEST)
        a, b, c, d, e = config.widths
        self.features = nn.Sequential(
            nn.Conv2d(config.num_channels, a, 11, stride=4, padding=2), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(a, b, 5, padding=2), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(b, c, 3, padding=1), nn.ReLU(),
            nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
            nn.Conv2d(d, e, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(GRID)
        self.classifier = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(e * GRID**2, config.hidden), nn.ReLU(),
            nn.Dropout(config.dropout), nn.Linear(config.hidden, config.hidden), nn.ReLU(),
            nn.Linear(config.hidden, classes_of(config)),
        )  # fmt: skip
        self.post_init()

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits ``[image, class]`` of ``[image, channel, row, column]``."""
        return self.classifier(self.avgpool(self.features(pixels)).flatten(1))


class Alexnet(Network):
    """A new AlexNet, whose tensors are called as torchvision calls them.

    Attributes:
        widths: channels of the five convolutions.
        hidden: neurons of the two hidden layers of the classifier.
        dropout: before each hidden layer.
        weights: a safetensors file with its tensors, or None.
    """

    model: ClassVar[type[ImageClassifier]] = AlexnetForImageClassification
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = WIDTHS
    hidden: PositiveInt = HIDDEN
    dropout: float = Field(default=0.5, ge=0, lt=1)
