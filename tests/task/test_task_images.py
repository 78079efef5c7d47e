import json
from pathlib import Path

import datasets
import pytest
import torch
from PIL import Image

from prunus.errors import PrunusError
from prunus.registry import build
from prunus.task import _imaged
from prunus.task._augment import RATIO, SCALE, mirrored, random_box, shifted
from prunus.task._pixels import Pixels, pixels_of
from tests.pictures import picture


def task(**settings):
    return build("task", {"name": "image_classification", **settings})


def prepared(**settings):
    own = task(**settings)
    return own.prepare(own.processor(None))


def folder(root: Path, splits=("train", "test"), count=6):
    """A folder of red cats and blue dogs."""
    for split in splits:
        for name, colour in (("cat", (250, 0, 0)), ("dog", (0, 0, 250))):
            place = root / split / name
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number}.png").write_bytes(picture(colour))
    return root


def table(path: Path, columns=("image", "label"), count=8):
    """A parquet file of images."""
    image, label = columns
    rows = {
        image: [{"bytes": picture((20 * n, 0, 0)), "path": None} for n in range(count)],
        label: [n % 2 for n in range(count)],
    }
    features = datasets.Features(
        {image: datasets.Image(decode=False), label: datasets.ClassLabel(names=["even", "odd"])}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def digits():
    return prepared()


def test_digits_are_split_once_and_for_all_with_every_class_in_its_share(digits):
    assert {name: len(rows.labels) for name, rows in digits.splits.items()} == {
        "train": 1437, "calibration": 1024, "validation": 360,
    }  # fmt: skip
    assert digits.labels("validation").bincount().tolist() == pytest.approx([36] * 10, abs=1)
    assert torch.equal(digits.labels("train"), prepared().labels("train"))
    assert digits.baselines()["majority"] == pytest.approx(10, abs=1)


def test_digits_are_scikit_learns(digits):
    from sklearn.datasets import load_digits

    found = load_digits()
    ours = sorted(
        (int(label), tuple(image.mul(16).round().int().flatten().tolist()))
        for split in ("train", "validation")
        for batch in digits.batches(split)
        for image, label in zip(batch["pixel_values"] * 0.376 + 0.305, batch["labels"], strict=True)
    )
    pairs = zip(found.target, found.images, strict=True)
    assert ours == sorted((int(label), tuple(map(int, image.ravel()))) for label, image in pairs)


def test_batches_keep_the_order_of_the_split_and_have_unit_spread(digits):
    batches = digits.batches("train", 100, limit=250)
    assert [len(batch["labels"]) for batch in batches] == [100, 100, 50]
    assert torch.equal(batches.order, torch.arange(250))
    assert batches[1]["pixel_values"].shape == (100, 1, 8, 8)
    assert torch.equal(torch.cat([b["labels"] for b in batches]), digits.labels("train")[:250])
    values = digits.batches("train", 1437)[0]["pixel_values"]
    assert abs(float(values.mean())) < 0.05
    assert float(values.std()) == pytest.approx(1, abs=0.05)
    assert len(batches[1:]) == 2


def test_a_model_is_judged_with_the_first_five_of_many_classes(digits):
    class Sure(torch.nn.Module):
        """The right class second, whatever is asked."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.seen = 0

        def forward(self, pixel_values):
            labels = digits.labels("validation")[self.seen : self.seen + len(pixel_values)]
            self.seen += len(pixel_values)
            logits = torch.nn.functional.one_hot(labels, 10).float()
            logits += 2 * torch.nn.functional.one_hot((labels + 1) % 10, 10)
            return type("Out", (), {"logits": logits})

    quality = digits.evaluate(Sure())
    assert quality.value == 0
    assert quality.extra == {"top5": 100}
    assert quality.n == 360


def test_a_folder_of_images_is_one_class_a_folder(tmp_path):
    own = prepared(data=str(folder(tmp_path / "pets")), size=8)
    assert own.label_names == ["cat", "dog"]
    assert {name: len(rows.labels) for name, rows in own.splits.items()} == {
        "train": 12, "calibration": 12, "validation": 12,
    }  # fmt: skip
    batch = own.batches("validation", 12)[0]
    values = batch["pixel_values"] * torch.tensor(own.pixels.std)[:, None, None]
    values += torch.tensor(own.pixels.mean)[:, None, None]
    red = values[:, 0].mean((1, 2)) > 0.5
    assert torch.equal(red, batch["labels"] == 0)
    assert own._shown("validation", 0)[0].endswith(".png")


def test_a_folder_of_nothing_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(PrunusError, match="neither tables nor images"):
        prepared(data=str(tmp_path))


def test_columns_are_found_by_what_they_hold_or_named(tmp_path):
    path = table(tmp_path / "data.parquet", ("picture", "kind"))
    own = prepared(data=str(path), size=8)
    assert own.label_names == ["even", "odd"]
    assert len(own.labels("train")) == 8
    again = prepared(data=str(path), size=8, image="picture", label="kind")
    assert torch.equal(again.labels("train"), own.labels("train"))
    with pytest.raises(PrunusError, match=r"'pictur'\. Did you mean 'picture'"):
        prepared(data=str(path), image="pictur")


def test_of_several_columns_one_must_be_named(tmp_path):
    path = table(tmp_path / "data.parquet", ("picture", "kind"))
    rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path))
    rows.add_column("other", rows["kind"][:], feature=rows.features["kind"]).to_parquet(path)
    with pytest.raises(PrunusError, match=r"2 columns \(kind, other\) of the kind label"):
        prepared(data=str(path))
    assert len(prepared(data=str(path), label="other", size=8).labels("train")) == 8


def test_a_known_set_is_found_in_the_mirror_and_judged_on_its_test_split(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNUS_DATA", str(tmp_path))
    for split in ("train", "test"):
        table(tmp_path / "uoft-cs/cifar10/plain_text" / f"{split}.parquet", ("img", "label"))
    for data in ("cifar10", "uoft-cs/cifar10"):
        own = prepared(data=data)
        assert (own.pixels.size, own.crop, own.flip) == (32, "shifted", True)
        assert len(own.labels("validation")) == 8
    assert prepared(data="cifar10", splits={"validation": 2}).labels("validation").shape == (2,)


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "data.parquet"
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.ClassLabel(names=["a"])}
    )
    rows = {"image": [{"bytes": b"no image", "path": None}], "label": [0]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    with pytest.raises(PrunusError, match="train: image 0 cannot be read"):
        prepared(data=str(path)).batches("train")[0]


@pytest.mark.parametrize(
    "settings", [{"mean": (0.1, 0.2)}, {"mean": (0.5,) * 2, "std": (1.0,) * 2}]
)
def test_channels_are_grey_or_three(settings):
    with pytest.raises(PrunusError, match=r"both need 1 \(grey\) or 3"):
        prepared(data="cifar10", **settings)


def test_colour_is_asked_of_grey_images():
    own = prepared(mean=(0.3,) * 3, std=(0.4,) * 3, size=10)
    values = own.batches("train", 4)[0]["pixel_values"]
    assert values.shape == (4, 3, 10, 10)
    assert torch.equal(values[:, 0], values[:, 2])


def test_what_does_not_fit_in_memory_is_decoded_again(monkeypatch):
    kept = prepared(size=9).batches("train", 16)[1]["pixel_values"]
    monkeypatch.setattr(_imaged, "MEMORY", 1000)
    own = prepared(size=9)
    assert torch.equal(own.batches("train", 16)[1]["pixel_values"], kept)
    assert not own._kept


def test_large_images_are_tested_in_their_middle(tmp_path):
    frame = Image.new("RGB", (64, 64), (255, 0, 0))
    frame.paste((0, 255, 0), (4, 4, 60, 60))
    (tmp_path / "a").mkdir()
    frame.save(tmp_path / "a" / "one.png")
    (tmp_path / "b").mkdir()
    frame.save(tmp_path / "b" / "two.png")
    values = prepared(data=str(tmp_path), size=64).batches("train", 1)[0]["pixel_values"]
    inner = values[0, :, 1:-1, 1:-1]  # the frame of 4 of 64 pixels lies outside 224 / 256
    assert all(len(channel.unique()) == 1 for channel in inner)


@pytest.mark.parametrize(("crop", "flip"), [("none", False), ("shifted", True), ("resized", True)])
def test_training_varies_images_by_the_seed_alone(crop, flip):
    own = prepared(crop=crop, flip=flip)
    make, plain = own.collate("train"), own.batches("train", 32)[0]
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(make(list(range(32))))
    assert torch.equal(found[0]["pixel_values"], found[1]["pixel_values"])
    assert torch.equal(found[0]["labels"], plain["labels"])
    same = torch.equal(found[0]["pixel_values"], found[2]["pixel_values"])
    assert same == torch.equal(found[0]["pixel_values"], plain["pixel_values"]) == (crop == "none")


def test_shifts_are_whole_images_moved_with_black_behind():
    torch.manual_seed(0)
    images = torch.randint(1, 256, (200, 2, 5, 5), dtype=torch.uint8)
    seen = set()
    for image, moved in zip(images, shifted(images, 2), strict=True):
        framed = torch.zeros(2, 9, 9, dtype=torch.uint8)
        framed[:, 2:7, 2:7] = image
        places = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if torch.equal(framed[:, row : row + 5, column : column + 5], moved)
        ]
        assert len(places) == 1
        seen |= set(places)
    assert len(seen) == 25


def test_half_of_the_images_are_mirrored():
    torch.manual_seed(0)
    images = torch.arange(400 * 6).reshape(400, 1, 2, 3)
    found = mirrored(images)
    turned = (found == images.flip(-1)).all((1, 2, 3))
    assert torch.equal(turned, ~(found == images).all((1, 2, 3)))
    assert 150 < int(turned.sum()) < 250


@pytest.mark.parametrize("size", [(100, 60), (60, 100), (64, 64), (500, 20)])
def test_random_parts_lie_inside_and_have_the_area_and_the_ratio(size):
    torch.manual_seed(0)
    image = Image.new("L", size)
    boxes = [random_box(image) for _ in range(300)]
    for left, upper, right, lower in boxes:
        assert 0 <= left < right <= size[0]
        assert 0 <= upper < lower <= size[1]
        wide, high = right - left, lower - upper
        assert wide * high >= (SCALE[0] - 0.04) * size[0] * size[1] or wide == high == min(size)
        assert RATIO[0] - 0.2 < wide / high < RATIO[1] + 0.2
    assert (len(set(boxes)) > 100) == (size != (500, 20))  # of which no such part fits


SAID = [
    ({}, {}, (20, 3)),
    ({"size": {"height": 16, "width": 16}}, {}, (16, 3)),
    ({"size": 40, "crop_size": {"height": 32}, "do_center_crop": True}, {}, (32, 3)),
    ({"size": {"shortest_edge": 40}, "crop_size": 32, "do_center_crop": False}, {}, (40, 3)),
    ({"size": 24}, {"image_size": 48}, (24, 3)),
    ({}, {"image_size": 48, "num_channels": 1}, (48, 1)),
    ({"image_mean": [0.5], "image_std": [0.5]}, {"num_channels": 3}, (20, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("processor", "config", "expected"), SAID)
def test_pixels_follow_the_model(tmp_path, processor, config, expected):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet", **config}))
    if processor:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    found = pixels_of(tmp_path, 20, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0))
    assert (found.size, found.channels) == expected
    assert found.mean == ((0.5,) * 3 if "image_mean" in processor else found.mean)


def test_pixels_come_back_as_they_were_saved(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    said = {"size": {"shortest_edge": 40}, "crop_pct": 0.9, "image_processor_type": "X"}
    pixels = Pixels(32, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), said)
    pixels.save_pretrained(tmp_path)
    found = pixels_of(tmp_path, 8, (0.0,), (1.0,))
    assert found == pixels
    assert found.said["crop_pct"] == 0.9
    values = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert torch.allclose(found.normal(values)[0, :, 0, 0], torch.tensor([0.9, 0.4, 0.7 / 3]))


def test_metrics_are_those_of_classes():
    with pytest.raises(PrunusError, match=r"'accurac'. Did you mean 'accuracy'"):
        build("task", {"name": "image_classification", "data": "digits", "metric": "accurac"})


def test_images_have_no_tokens():
    with pytest.raises(PrunusError, match="no tokens"):
        task().cut_off(12)
