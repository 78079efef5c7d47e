"""Residual networks for small images: He et al., arXiv 1512.03385, section 4.2."""

from typing import ClassVar

from pydantic import Field, PositiveInt, field_validator
from torch import Tensor, nn
from transformers import PretrainedConfig

from prunus.errors import PrunusError
from prunus.networks._network import ImageClassifier, Network, classes_of

WIDTHS = (16, 32, 64)


class CifarResnetConfig(PretrainedConfig):
    """Configuration of a :class:`CifarResnetForImageClassification`.

    Attributes:
        depth: layers with weights: 6 n + 2 for n blocks a stage.
        widths: channels of the three stages.
        num_channels: of an image.
        image_size: pixels of a side.
    """

    model_type = "cifar_resnet"

    depth: int = 20
    widths: list[int] | tuple[int, ...] = WIDTHS
    num_channels: int = 3
    image_size: int = 32


class Block(nn.Module):
    """Two convolutions and a shortcut, which skips pixels and pads channels (option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        left = (outputs - inputs) // 2
        right = outputs - inputs - left
        # [image, channel, row, column] is [channel, depth, row, column] to it
        self.pad = nn.ZeroPad3d((0, 0, 0, 0, left, right)) if outputs != inputs else nn.Identity()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """``[image, outputs, row / stride, column / stride]``."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        return self.relu(y + self.pad(x))


class CifarResnetForImageClassification(ImageClassifier):
    """A residual network of three stages with a mean over the pixels and a linear head."""

    config_class = CifarResnetConfig
    head = "linear"

    def __init__(self, config: CifarResnetConfig) -> None:
        """A new network, randomly drawn."""
        super().__init__(config)
        first, second, third = config.widths
        blocks = (config.depth - 2) // 6
        self.conv1 = nn.Conv2d(config.num_channels, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        self.layer1 = _stage(first, first, blocks, 1)
        self.layer2 = _stage(first, second, blocks, 2)
        self.layer3 = _stage(second, third, blocks, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(third, classes_of(config))
        self.post_init()

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits ``[image, class]`` of ``[image, channel, row, column]``."""
        x = self.relu(self.bn1(self.conv1(pixels)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.pool(x).flatten(1))


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = Block(inputs, outputs, stride)
    return nn.Sequential(first, *(Block(outputs, outputs, 1) for _ in range(blocks - 1)))


class CifarResnet(Network):
    """A new residual network for small images.

    Attributes:
        depth: 20, 32, 44, 56, 110, or any 6 n + 2.
        widths: channels of the three stages.
        weights: a safetensors file with its tensors, or None.
    """

    model: ClassVar[type[ImageClassifier]] = CifarResnetForImageClassification
    depth: PositiveInt = 20
    widths: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(default=WIDTHS)

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, depth: int) -> int:
        if depth < 8 or depth % 6 != 2:
            raise PrunusError(f"depth {depth} is not 6 n + 2: take 8, 14, 20, 32, 44, 56 or 110")
        return depth
