import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.recipes.dense import dense

COLUMNS = {"sst2": ("sentence",), "mrpc": ("sentence1", "sentence2")}
SIZES = {"train": 48, "validation": 20}


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with a tiny dense checkpoint and a mirror of two GLUE tasks."""
    folder = tmp_path_factory.mktemp("inc")
    dense(folder / "dense")
    for subset, columns in COLUMNS.items():
        data = folder / "mirror" / "nyu-mll" / "glue" / subset
        data.mkdir(parents=True)
        for split, size in SIZES.items():
            rows = {name: [f"good film word{row % 30}" for row in range(size)] for name in columns}
            parquet.write_table(
                pa.table({**rows, "label": [0, 1] * (size // 2)}), data / f"{split}.parquet"
            )
    return folder


@pytest.fixture
def mirrored(place, monkeypatch):
    """The folder, its mirror in use."""
    monkeypatch.setenv("PRUNUS_DATA", str(place / "mirror"))
    return place
