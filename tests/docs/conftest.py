import shutil

import pyarrow as pa
import pytest
from pyarrow import parquet

import prunus
from prunus.registry import build
from prunus.report import write
from tests import berts
from tests.pictures import mirror, resnet, vit
from tests.recipes.dense import reviews, wordpiece
from tests.report.sample import sample
from tests.task.pairs import PAIRS, translator
from tests.tiny import tiny

CHECKPOINTS = ("quickstart-dense", "sst2-dense", "mrpc-dense", "qqp-dense", "mine/model")
COLUMNS = {
    "sst2": ("sentence",),
    "mrpc": ("sentence1", "sentence2"),
    "qqp": ("question1", "question2"),
}


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """What the pages take for granted: checkpoints below runs/, a table, a mirror of GLUE."""
    folder = tmp_path_factory.mktemp("template")
    sizes = {"layers": 4, "max_position_embeddings": 128, "num_labels": 2}
    model = tiny("bert", "BertForSequenceClassification", **sizes, id2label={0: "bad", 1: "good"})
    prunus.save(model, folder / "dense", wordpiece())
    for checkpoint in CHECKPOINTS:
        shutil.copytree(folder / "dense", folder / "runs" / checkpoint)
    for name in ("half", "third"):
        write(sample(), folder / "runs" / name)
    classifiers(folder)
    for task in berts.TASKS:
        berts.dense(folder / "runs/dense" / f"bert-base-{task}", task)
    berts.mirror(folder / "mirror", ("squad", "mnli"))
    translators(folder)
    reviews(folder / "reviews.csv")
    for subset, columns in COLUMNS.items():
        place = folder / "mirror" / "nyu-mll" / "glue" / subset
        place.mkdir(parents=True)
        for split, size in (("train", 1200), ("validation", 40)):
            rows = {name: [f"good film word{row % 40}" for row in range(size)] for name in columns}
            labels = [0, 1] * (size // 2)
            parquet.write_table(pa.table({**rows, "label": labels}), place / f"{split}.parquet")
    return folder


def classifiers(folder):
    """Networks for images, and a few images of their sets."""
    network = build("networks", {"name": "cifar_resnet", "depth": 8})
    pixels = build("task", "image_classification").processor(None)
    digits = network.build({"num_labels": 10, "num_channels": 1, "image_size": pixels.size})
    prunus.save(digits, folder / "runs" / "digits", pixels)
    for name, classes in {"head-cifar10": 10, "resnet50-cifar10": 10}.items():
        resnet(folder / "runs" / name, classes)
    for name in ("head-cifar100", "vit-cifar100"):
        vit(folder / "runs" / name, 100)
    for name in ("cifar10", "cifar100"):
        mirror(folder / "mirror", name)


def translators(folder):
    """Models that translate, and a few sentences in both languages."""
    for name in ("runs/t5-small", "runs/translator", "google-t5/t5-small"):
        translator(folder / name)
    place = folder / "mirror" / "bentrevett" / "multi30k"
    place.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        rows = [dict(zip(("en", "de"), pair, strict=True)) for pair in PAIRS]
        parquet.write_table(pa.Table.from_pylist(rows), place / f"{split}.parquet")


@pytest.fixture
def workshop(template, tmp_path, monkeypatch):
    """A folder of one's own with all that, in which a page's examples run."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNUS_DATA", str(tmp_path / "mirror"))
    monkeypatch.setenv("PRUNUS_CACHE", str(template / "cache"))
    return tmp_path


@pytest.fixture
def here(place, monkeypatch, in_process, quick_gc):
    """Inside of the folder in which a page was followed: each page's own ``place``."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("PRUNUS_DATA", str(place / "mirror"))
    return place
