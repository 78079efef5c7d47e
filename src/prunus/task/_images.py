"""Sets of images: by name, from the hub or its mirror, and folders of one folder a class."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, load_dataset
from datasets.utils.logging import disable_progress_bar

from prunus.errors import PrunusError, unknown
from prunus.task._locate import local
from prunus.task._pixels import IMAGENET
from prunus.task._source import READERS, open_source

Crop = Literal["none", "shifted", "resized"]
Stats = tuple[tuple[float, ...], tuple[float, ...]]
CIFAR: Stats = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"}
DIGITS = "digits"
HELD_OUT = 360
"""Images of the digits that are tested on; 1437 are learnt from."""


@dataclass(frozen=True)
class Known:
    """What is known of a set of images.

    Attributes:
        data: its hub id.
        config: the hub's configuration.
        label: the column of the class, where there are several.
        size: pixels of a side, for a network that does not say.
        stats: mean and standard deviation of its pixels, for a network that does not say.
        crop: how images vary in training, see ``ImageClassification``.
        flip: whether they are mirrored there.
        test: the split that the set is judged on; None is ``validation``, or else ``test``.
    """

    data: str
    config: str | None = None
    label: str | None = None
    size: int = 224
    stats: Stats = IMAGENET
    crop: Crop = "resized"
    flip: bool = True
    test: str | None = None


KNOWN = {
    DIGITS: Known(DIGITS, None, None, 8, ((0.305,), (0.376,)), "none", False),
    "cifar10": Known("uoft-cs/cifar10", "plain_text", "label", 32, CIFAR, "shifted"),
    "cifar100": Known("uoft-cs/cifar100", "cifar100", "fine_label", 32, CIFAR, "shifted"),
    "fashion_mnist": Known(
        "zalando-datasets/fashion_mnist", "fashion_mnist", "label", 28, ((0.286,), (0.353,)),
        "shifted",
    ),
    "oxford_flowers102": Known("dpdl-benchmark/oxford_flowers102", label="label", test="test"),
    "cats_vs_dogs": Known("microsoft/cats_vs_dogs", label="labels"),
    "stanford_cars": Known("tanganke/stanford_cars", label="label"),
}  # fmt: skip


def known(data: str | Mapping[str, str]) -> Known:
    """What is known of a set by its name or its hub id; of others what holds for most."""
    if not isinstance(data, str):
        return Known("")
    own = (one for name, one in KNOWN.items() if data in (name, one.data))
    return next(own, Known(data))


def open_images(data: str | Mapping[str, str], config: str | None) -> dict[str, Dataset]:
    """The splits of a set, images still encoded.

    Args:
        data: a name of ``KNOWN``, a hub id, a parquet file or a folder of them, a mapping from
            split to file, or a folder of images, one folder a class, in one folder a split or not.
        config: the hub's configuration.

    Raises:
        PrunusError: nothing is there, or a file cannot be read.
    """
    own = known(data)
    if own.data == DIGITS:
        return _digits()
    where = local(data) if isinstance(data, str) else None
    if where is not None and where.is_dir() and not _tables(where, config):
        return _folder(where)
    return open_source(own.data or data, config or own.config, "utf-8", ())


def image_column(splits: Mapping[str, Dataset], asked: str | None, where: str) -> str:
    """The column that holds the images.

    Raises:
        PrunusError: there is none, or there are several.
    """
    return _only(splits, asked, _is_image, where, "image")


def label_column(splits: Mapping[str, Dataset], asked: str | None, where: str) -> str:
    """The column that holds the classes.

    Raises:
        PrunusError: there is none, or there are several.
    """
    features = next(iter(splits.values())).features
    called = [name for name in ("label", "labels") if name in features]
    wanted = asked or (called[0] if len(called) == 1 else None)
    return _only(splits, wanted, lambda kind: isinstance(kind, ClassLabel), where, "label")


def encoded(rows: Dataset, column: str) -> Dataset:
    """The same rows with the column as ``{"bytes", "path"}``."""
    return rows.cast_column(column, Image(decode=False))


def _only(
    splits: Mapping[str, Dataset], asked: str | None, fits: Any, where: str, what: str
) -> str:
    features = next(iter(splits.values())).features
    if asked is not None:
        if asked not in features:
            raise unknown(f"column of {where}", asked, features, f"Set `{what}`.")
        return asked
    found = [name for name, kind in features.items() if fits(kind)]
    if len(found) != 1:
        many = f"{len(found)} columns ({', '.join(found)})" if found else "no column"
        raise PrunusError(
            f"{where} has {many} of the kind {what}, and the columns {', '.join(features)}: say"
            f" which, `{what}: NAME`"
        )
    return found[0]


def _is_image(kind: object) -> bool:
    return isinstance(kind, Image) or (isinstance(kind, dict) and "bytes" in kind)


def _tables(folder: Path, config: str | None) -> bool:
    inside = folder / config if config else folder
    return any(file.suffix in READERS for file in inside.glob("*"))


def _folder(folder: Path) -> dict[str, Dataset]:
    """A folder of images by the loader of ``datasets``, which names classes after folders."""
    if not any(file.suffix.lower() in PICTURES for file in folder.rglob("*")):
        kinds = ", ".join(sorted({*READERS, *PICTURES}))
        raise PrunusError(f"{folder} holds neither tables nor images (one of {kinds})")
    disable_progress_bar()
    loaded = load_dataset("imagefolder", data_dir=str(folder))
    assert isinstance(loaded, DatasetDict)
    return {str(split): rows for split, rows in loaded.items()}


def _digits() -> dict[str, Dataset]:
    """1,797 written digits of 8 x 8 pixels (Alpaydin and Kaynak 1998), as scikit-learn has them.

    The split is stratified and always the same.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found: Any = load_digits()
    grey = (found.images * (255 / 16)).round().astype(numpy.uint8)
    rows = train_test_split(
        range(len(grey)), test_size=HELD_OUT, stratify=found.target, random_state=0
    )
    names = [str(name) for name in found.target_names]
    features = Features({"image": Image(decode=False), "label": ClassLabel(names=names)})
    return {
        split: Dataset.from_dict(
            {
                "image": [{"bytes": _pgm(grey[row]), "path": None} for row in sorted(own)],
                "label": [int(found.target[row]) for row in sorted(own)],
            },
            features=features,
        )
        for split, own in zip(("train", "validation"), rows, strict=True)
    }


def _pgm(grey: numpy.ndarray) -> bytes:
    """A grey image [row, column] uint8 in the simplest format there is."""
    height, width = grey.shape
    return b"P5 %d %d 255\n" % (width, height) + grey.tobytes()
