"""Classification of images: sets by name, from the hub, or folders of one folder a class."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from datasets import Dataset
from pydantic import PositiveFloat, PositiveInt, field_validator

from prunus.errors import PrunusError, unknown
from prunus.task._imaged import MODES, Imaged, Images
from prunus.task._images import (
    DIGITS,
    Crop,
    encoded,
    image_column,
    known,
    label_column,
    open_images,
)
from prunus.task._labels import class_indices, class_names, like_head, require_values
from prunus.task._metrics import CLASSES
from prunus.task._pixels import Pixels, pixels_of
from prunus.task._slices import SplitName, draw
from prunus.task._source import column, require_columns
from prunus.task._task import Task


class ImageClassification(Task):
    """Images, each with a class.

    What is left out follows the model first, then what is known of the set, then ImageNet.

    Attributes:
        data: digits (which needs no download), cifar10, cifar100, fashion_mnist,
            oxford_flowers102, cats_vs_dogs, stanford_cars; a hub id (looked for under
            ``$PRUNUS_DATA`` first), a parquet file, a folder of such files, a mapping from split to
            file, or a folder of images, one folder a class, in one folder a split or not.
        config: the hub's configuration.
        image: the column with the image; None is the only one of that kind.
        label: the column with the class; None is the only one of that kind.
        labels: the classes in order; None takes them from the data.
        splits: for ``train``, ``calibration``, ``development`` and ``validation`` either a split
            of the source or a count of rows to draw from its training split.
        size: pixels of a side.
        mean: of the pixels of each channel, from 0 to 1; one value is grey.
        std: of the pixels of each channel.
        crop: how images vary in training: ``shifted`` by up to an eighth of their size, black
            moving in; ``resized`` from a part of 8 to 100 % of the area; or ``none``.
        flip: mirror one half of them in training.
        metric: accuracy, f1 or matthews; from ten classes on, accuracy among the first five answers
            is told beside.
    """

    head: ClassVar[str] = "ImageClassification"
    pipeline: ClassVar[str | None] = "image-classification"
    data: str | dict[str, str] = DIGITS
    config: str | None = None
    image: str | None = None
    label: str | None = None
    labels: tuple[str | int, ...] = ()
    size: PositiveInt | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[PositiveFloat, ...] | None = None
    crop: Crop | None = None
    flip: bool | None = None
    metric: str = "accuracy"

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        if name not in CLASSES:
            raise unknown("metric of a classification", name, CLASSES)
        return name

    def processor(self, where: str | Path | None) -> Pixels:
        """What a model's pixels are.

        Args:
            where: the model's folder or hub id; None for a network that is yet to be made.

        Raises:
            PrunusError: what the model says makes no sense, or the settings do not fit each other.
        """
        own = known(self.data)
        size, (mean, std) = own.size, own.stats
        found = Pixels(size, mean, std) if where is None else pixels_of(where, size, mean, std)
        mean, std = self.mean or found.mean, self.std or found.std
        if len(mean) != len(std) or len(mean) not in MODES:
            raise PrunusError(
                f"mean has {len(mean)} channels and std {len(std)}: both need 1 (grey) or 3"
            )
        return Pixels(self.size or found.size, mean, std, found.said)

    def prepare(
        self,
        processor: Pixels,
        num_labels: int | None = None,
        seed: int = 0,
        head_names: list[str] | None = None,
    ) -> Imaged:
        """Open the data, check it, and draw the splits.

        Args:
            processor: what the model's pixels are.
            num_labels: outputs of the model's head; None where it is yet to be made.
            seed: draws the calibration rows. The other splits are always the same.
            head_names: the classes as the head orders them; followed where they are the task's.

        Raises:
            PrunusError: the source, a column or a split is missing or empty, or a label lies
                outside the head.
        """
        where, own = str(self.data), known(self.data)
        source = open_images(self.data, self.config)
        image = image_column(source, self.image, where)
        label = label_column(source, self.label or own.label, where)
        wanted = self._wanted(source)
        drawn = draw({name: rows.num_rows for name, rows in source.items()}, wanted, seed)
        used = {name: source[name] for name, _ in drawn.values()}
        require_columns(used, (image, label), where, "Set `image` and `label`.")
        values = column(used, drawn, label)
        require_values(values, label)
        feature = next(iter(used.values())).features[label]
        names = like_head(class_names(values, feature, label, self.labels), head_names)
        labels = class_indices(values, feature, label, names, num_labels)
        rows = {name: encoded(table, image) for name, table in used.items()}
        return Imaged(
            splits={
                split: Images(rows[theirs].select(places.tolist()), image, labels[split])
                for split, (theirs, places) in drawn.items()
            },
            label_names=names,
            num_labels=num_labels or len(names),
            metrics=(self.metric,),
            seed=seed,
            pixels=processor,
            crop=self.crop or own.crop,
            flip=own.flip if self.flip is None else self.flip,
        )

    def _wanted(self, source: Mapping[str, Dataset]) -> dict[SplitName, str | int]:
        """The splits that are asked for; without a validation split, that is the test split."""
        test = known(self.data).test or (None if "validation" in source else "test")
        judged: dict[SplitName, str | int] = {}
        if test is not None and test in source:
            judged["validation"] = test
        return judged | self.splits
