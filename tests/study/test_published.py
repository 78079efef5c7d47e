"""Every row of the published tables runs: two steps, on tiny models and data of the same kinds."""

import pyarrow as pa
import pytest
from pyarrow import parquet

import prunus
from prunus.plan import Plan
from prunus.study import read_sheet
from prunus.study._run import study
from tests.recipes.dense import wordpiece
from tests.task import squad
from tests.tiny import tiny

SHEET = "pattern/published"
ROWS = read_sheet(SHEET)
SHORT = (
    "training.max_steps=2", "training.batch_size=4", "drive.schedule.warmup=0",
    "drive.schedule.cooldown=0", "drive.schedule.every=1", "drive.progressive=1",
    "calibration.samples=8", "latency=null", "evaluation.baselines=false",
)  # fmt: skip
LONG = 384
PAIR = ("sentence1", "sentence2")
HEADS = {"squad": "QuestionAnswering", "mrpc": "SequenceClassification"}
SIZES = {"heads": 4, "width": 64, "num_labels": 2, "id2label": {0: "0", 1: "1"}}


@pytest.fixture
def workshop(tmp_path, monkeypatch, in_process):
    """A folder with tiny dense models where the sheet looks for them, and a mirror of its data."""
    tokenizer = wordpiece()
    tokenizer.model_max_length = LONG
    for path in {row.recipe.model for row in ROWS}:
        family, task = ("distilbert" if "distil" in path else "bert"), path.rpartition("-")[2]
        body = "DistilBert" if family == "distilbert" else "Bert"
        head = HEADS["squad" if task == "squad" else "mrpc"]
        sizes = {**SIZES, "max_position_embeddings": LONG}
        prunus.save(tiny(family, f"{body}For{head}", **sizes), tmp_path / path, tokenizer)
    mirror = tmp_path / "mirror"
    for subset, columns in {"mrpc": PAIR, "sst2": ("sentence",)}.items():
        texts = [f"good film word{n}" for n in range(16)]
        table = {**dict.fromkeys(columns, texts), "label": [0, 1] * 8}
        _write(mirror / "nyu-mll/glue" / subset, pa.table(table))
    asked = [
        squad.row(f"the film word{n} is very good", "good film", f"word{n}") for n in range(16)
    ]
    _write(mirror / "rajpurkar/squad/plain_text", pa.Table.from_pylist(asked))
    monkeypatch.setenv("PRUNUS_DATA", str(mirror))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(folder, table):
    folder.mkdir(parents=True)
    for split in ("train", "validation"):
        parquet.write_table(table, folder / f"{split}.parquet")


@pytest.mark.slow
def test_every_row_runs(workshop):
    rows = read_sheet(SHEET, SHORT)
    found = study(rows, workshop / "out", quiet=True)
    assert found.failed == {}
    assert [one.name for one in found.results] == [one.name for one in ROWS]
    for one, own in zip(rows, found.results, strict=True):
        plan = Plan.load(workshop / "out" / one.name / "plan.safetensors")
        kept = [mask for name, mask in plan.items() if name.endswith(":grid")]
        stays, of = (
            sum(map(count, kept)) for count in (lambda m: int(m.sum()), lambda m: m.numel())
        )
        density = one.recipe.budget["density"]
        if "channel" not in one.name:
            assert stays == int(density * of)
        assert 0.9 * density < own.density <= density
        assert own.metric == ("accuracy" if "sst2" in one.name else "f1")
        assert own.published == one.published


def test_published_numbers_hang_together():
    assert len(ROWS) == 16
    for row in ROWS:
        own = row.published
        assert 100 * (own.pruned / own.dense - 1) == pytest.approx(own.drop, abs=0.03), row.name
