"""What a network's pixels are: their size and their scale, read from and written to JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig
from transformers.image_processing_base import ImageProcessingMixin

from prunus.errors import PrunusError

FILE = "preprocessor_config.json"
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the pixels of ImageNet, red, green and blue, from 0 to 1."""


@dataclass(frozen=True)
class Pixels:
    """The images that a network takes: ``(value / 255 - mean) / std``, [channel, size, size].

    Attributes:
        size: pixels of a side.
        mean: of each channel, from 0 to 1.
        std: of each channel.
        said: what else the file of a model says, kept as it is.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    said: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def channels(self) -> int:
        """How many there are: 1 is grey, 3 is red, green and blue."""
        return len(self.mean)

    def normal(self, values: Tensor) -> Tensor:
        """A network's input, float32, of pixels ``[image, channel, row, column]`` uint8."""
        mean, std = (255 * torch.tensor(x)[:, None, None] for x in (self.mean, self.std))
        return values.float().sub_(mean).div_(std)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``preprocessor_config.json``, which transformers' image processors read."""
        sizes = {"size": {"height": self.size, "width": self.size}}
        said = {"image_processor_type": "ViTImageProcessor", **sizes, **self.said}
        if size_in(said) != self.size:
            said |= sizes
        said |= {"image_mean": list(self.mean), "image_std": list(self.std)}
        text = json.dumps(said | {"do_normalize": True, "do_rescale": True}, indent=2)
        (Path(folder) / FILE).write_text(text + "\n", encoding="utf-8")


def pixels_of(where: str | Path, size: int, mean: Sequence[float], std: Sequence[float]) -> Pixels:
    """What a model says of its pixels, in its image processor's file and in its configuration.

    Args:
        where: the model's folder or hub id.
        size: where the model says nothing of it, like the others.
        mean: of each channel; one of grey stands for three of colour, and the other way round.
        std: of each channel.

    Raises:
        PrunusError: the file makes no sense.
    """
    said, config = _processor(where), PretrainedConfig.get_config_dict(where)[0]
    side = size_in(said) or config.get("image_size") or size
    if not isinstance(side, int):
        raise PrunusError(f"{where}: images of {side!r} pixels are not square: say `size`")
    mean, std = said.get("image_mean") or mean, said.get("image_std") or std
    channels = config.get("num_channels") or len(mean)
    return Pixels(side, _fitted(mean, channels), _fitted(std, channels), said)


def size_in(said: Mapping[str, Any]) -> int | None:
    """The side of the images that an image processor gives, None where it does not say."""
    size = said.get("crop_size") if said.get("do_center_crop") else None
    size = size or said.get("size")
    if isinstance(size, Mapping):
        size = size.get("height") or size.get("shortest_edge")
    return size


def _processor(where: str | Path) -> dict[str, Any]:
    try:
        return ImageProcessingMixin.get_image_processor_dict(where)[0]
    except OSError:  # a model without such a file
        return {}


def _fitted(values: Sequence[float], channels: int) -> tuple[float, ...]:
    if len(values) == channels:
        return tuple(values)
    return (sum(values) / len(values),) * channels
