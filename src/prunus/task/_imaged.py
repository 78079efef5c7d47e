"""Images with a class each, made ready for one network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any, overload

import numpy
import torch
from datasets import Dataset
from torch import Tensor
from transformers import PretrainedConfig

from prunus.errors import PrunusError
from prunus.task._augment import Box, middle, mirrored, random_box, shifted
from prunus.task._images import Crop
from prunus.task._labelled import Labelled
from prunus.task._metrics import CLASSES
from prunus.task._pixels import Pixels
from prunus.task._prepared import Batch, Batches, Order
from prunus.task._quality import Quality

MEMORY = 2**30
"""Bytes of pixels of a split that are kept; of larger ones, images are decoded again and again."""
SHIFT = 8
"""An image is shifted by up to its size over this many pixels."""
LARGE, PART = 64, 224 / 256
"""From this size on, networks are tested on the middle of an image, this part of its short edge."""
TOP = 5
MANY = 10
"""Classes from which on it is also told whether the right one is among the first five."""
MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True, eq=False)
class Images:
    """The rows of one split.

    Attributes:
        encoded: each image as ``{"bytes", "path"}``.
        column: where.
        labels: ``[image]`` int64 class indices.
    """

    encoded: Dataset
    column: str
    labels: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Imaged(Labelled[Images]):
    """A classification's splits of images; an example is an image.

    Attributes:
        pixels: what the network takes.
        crop: how images vary in training.
        flip: whether they are mirrored there, one half of the time.
    """

    pixels: Pixels
    crop: Crop = "none"
    flip: bool = False
    _kept: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def input_config(self) -> dict[str, Any]:
        """The size and the channels of images."""
        return {"image_size": self.pixels.size, "num_channels": self.pixels.channels}

    def examples(self, split: str) -> Sequence[int]:
        """The rows of a split, by number.

        Raises:
            PrunusError: the task has no such split.
        """
        return range(len(self.labels(split)))

    def collate(self, split: str) -> Callable[[list[Any]], Batch]:
        """What makes a training's batch of rows of a split: images vary, see ``crop``."""
        return lambda rows: self._batch(split, rows, self._varied(split, rows))

    def batches(
        self,
        split: str,
        batch_size: int = 32,
        limit: int | None = None,
        order: Order = "length",
    ) -> Batches:
        """A split in batches, in its own order, without any variation.

        Args:
            split: its name.
            batch_size: images in a batch; the last one may be smaller.
            limit: take only the first so many images of the split.
            order: not used: images have no lengths.

        Returns:
            Batches with ``pixel_values`` ``[image, channel, row, column]`` and ``labels``
            ``[image]``, made when asked for.

        Raises:
            PrunusError: the task has no such split, or an image cannot be read.
        """
        del order
        rows = torch.arange(len(self.labels(split)))[:limit]
        chunks = [chunk.tolist() for chunk in rows.split(batch_size) if len(chunk)]
        return Batches(
            _Made(chunks, lambda own: self._batch(split, own, self._plain(split, own))), rows
        )

    def longest(self, config: PretrainedConfig) -> None:
        """Nothing: images have no tokens."""
        del config

    def baselines(self) -> dict[str, float]:
        """What needs no network, on the validation split, in the headline metric.

        Returns:
            ``majority``: the most frequent class of the training split.
        """
        labels = self.labels("validation")
        constant = self.labels("train").mode().values.expand_as(labels)
        return {"majority": CLASSES[self.metrics[0]](constant, labels)}

    def _judge(self, split: str, answers: list[Tensor]) -> Quality:
        quality = super()._judge(split, answers)
        if len(self.label_names) < MANY:
            return quality
        first = torch.stack([row[0] for row in answers]).topk(TOP).indices
        found = (first == self.labels(split)[: len(first), None]).any(1).double().mean()
        return replace(quality, extra={**quality.extra, "top5": 100 * found.item()})

    def _shown(self, split: str, row: int) -> tuple[str, ...]:
        path = self._split(split).encoded[row][self._split(split).column]["path"]
        return (path or f"image {row} of {split}",)

    def _batch(self, split: str, rows: list[int], values: Tensor) -> Batch:
        return {"pixel_values": self.pixels.normal(values), "labels": self.labels(split)[rows]}

    def _varied(self, split: str, rows: list[int]) -> Tensor:
        if self.crop == "resized":
            values = self._decoded(split, rows, random_box)
        else:
            values = self._plain(split, rows)
        if self.crop == "shifted":
            values = shifted(values, max(1, self.pixels.size // SHIFT))
        return mirrored(values) if self.flip else values

    def _plain(self, split: str, rows: list[int]) -> Tensor:
        """Pixels ``[image, channel, row, column]`` uint8 as networks are tested on them."""
        count = len(self.labels(split))
        if count * self.pixels.channels * self.pixels.size**2 > MEMORY:
            return self._decoded(split, rows, self._middle)
        if split not in self._kept:
            self._kept[split] = self._decoded(split, list(range(count)), self._middle)
        return self._kept[split][rows]

    def _middle(self, image: Any) -> Box:
        return middle(image, PART if self.pixels.size >= LARGE else 1.0)

    def _decoded(self, split: str, rows: list[int], box: Callable[[Any], Box]) -> Tensor:
        own, size = self._split(split), self.pixels.size
        values = torch.empty(len(rows), self.pixels.channels, size, size, dtype=torch.uint8)
        for place, row in enumerate(rows):
            image = self._open(own.encoded[row][own.column], f"{split}: image {row}")
            part = box(image)
            if part != (0, 0, size, size) or image.size != (size, size):
                image = image.resize((size, size), 2, part, 2.0)  # bilinear
            pixels = numpy.asarray(image).reshape(size, size, -1)
            values[place] = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        return values

    def _open(self, stored: dict[str, Any], where: str) -> Any:
        from PIL import Image, UnidentifiedImageError

        source = BytesIO(stored["bytes"]) if stored["bytes"] else stored["path"]
        try:
            return Image.open(source).convert(MODES[self.pixels.channels])
        except (OSError, UnidentifiedImageError) as error:
            raise PrunusError(f"{where} cannot be read: {error}") from None


class _Made(Sequence[Batch]):
    """Batches made of their rows when they are asked for."""

    def __init__(self, rows: list[list[int]], make: Callable[[list[int]], Batch]) -> None:
        self._rows, self._make = rows, make

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Batch: ...

    @overload
    def __getitem__(self, place: slice) -> "_Made": ...

    def __getitem__(self, place: int | slice) -> "Batch | _Made":
        if isinstance(place, slice):
            return _Made(self._rows[place], self._make)
        return self._make(self._rows[place])
