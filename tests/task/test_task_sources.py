import importlib
import json
import sys
import time

import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from pyarrow import parquet

from prunus.errors import PrunusError
from prunus.registry import build
from prunus.task import resolve


def task(**settings):
    return build("task", {"name": "text_classification", **settings})


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that cannot be imported and holds a latin-1 file."""
    folder = tmp_path / "site" / "broken_corpus"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('this package is broken')")
    text = "text,label\ncaf\xe9,1\ngood,0\nbad,0\nfilm,1\n"
    (folder / "data" / "rows.csv").write_bytes(text.encode("latin-1"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    return "package:broken_corpus/data"


def test_csv_jsonl_and_parquet_hold_the_same_rows(tmp_path, write, tokenizer):
    texts, labels = ["good, film", "1984", "bad\nfilm", "null"], ["yes", "no", "no", "yes"]
    files = {"csv": write([("text", "label"), *zip(texts, labels, strict=True)])}
    files["jsonl"] = str(tmp_path / "data.jsonl")
    with open(files["jsonl"], "w") as file:
        for text, label in zip(texts, labels, strict=True):
            print(json.dumps({"text": text, "label": label}), file=file)
    files["parquet"] = str(tmp_path / "data.parquet")
    parquet.write_table(pa.table({"text": texts, "label": labels}), files["parquet"])
    for file in files.values():
        prepared = task(data=file).prepare(tokenizer)
        assert prepared.texts("train") == texts, file
        assert prepared.labels("train").tolist() == [1, 0, 0, 1]
        assert prepared.label_names == ["no", "yes"]


def test_a_column_of_texts_that_look_like_numbers_stays_text(write, tokenizer):
    data = write([("text", "label"), ("007", 0), ("1.50", 1)])
    assert task(data=data).prepare(tokenizer).texts("train") == ["007", "1.50"]


def test_a_mapping_of_files_names_the_splits(write, tokenizer):
    one = write([("text", "label"), ("good", 1), ("bad", 0)], "one.csv")
    two = write([("text", "label"), ("film", 1)], "two.csv")
    prepared = task(data={"train": one, "validation": two}).prepare(tokenizer)
    assert prepared.texts("validation") == ["film"]
    assert set(prepared.splits) == {"train", "calibration", "validation"}


def test_a_hub_id_is_read_from_the_mirror_with_its_label_names(tmp_path, monkeypatch, tokenizer):
    features = Features({"sentence": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    folder = tmp_path / "some" / "reviews" / "short"
    folder.mkdir(parents=True)
    for split, rows in {"train": ["good", "bad"], "validation": ["bad"]}.items():
        labels = [int(row == "good") for row in rows]
        columns = {"sentence": rows, "label": labels}
        Dataset.from_dict(columns, features).to_parquet(folder / f"{split}.parquet")
    monkeypatch.setenv("PRUNUS_DATA", str(tmp_path))
    prepared = task(data="some/reviews", config="short", text="sentence").prepare(tokenizer)
    assert prepared.label_names == ["neg", "pos"]
    assert prepared.labels("validation").tolist() == [0]
    again = task(data=str(tmp_path / "some" / "reviews"), config="short", text="sentence")
    assert again.prepare(tokenizer).texts("train") == ["good", "bad"]


def test_a_file_in_a_package_is_read_without_importing_it(package, tokenizer):
    source = task(data=f"{package}/rows.csv", encoding="latin-1")
    assert source.prepare(tokenizer).texts("train")[0] == "café"
    assert "broken_corpus" not in sys.modules
    assert (resolve(package) / "rows.csv").is_file()


def test_a_wrong_encoding_is_told(package, tokenizer):
    with pytest.raises(PrunusError, match=r"rows\.csv cannot be read.*encoding: latin-1"):
        task(data=f"{package}/rows.csv").prepare(tokenizer)
    with pytest.raises(PrunusError, match=r"unknown encoding 'latin-one'"):
        task(data="rows.csv", encoding="latin-one")


def test_missing_packages_and_files_in_them(package, tokenizer):
    with pytest.raises(PrunusError, match=r"no package 'no_such_corpus' is installed.*pip install"):
        task(data="package:no_such_corpus/rows.csv").prepare(tokenizer)
    with pytest.raises(PrunusError, match=r"the package has no 'data/row\.csv' in .*broken_corpus"):
        task(data=f"{package}/row.csv").prepare(tokenizer)
    with pytest.raises(PrunusError, match=r"no package 'no_such_model'"):
        resolve("package:no_such_model/model")


@pytest.mark.parametrize("root", [None, "elsewhere"])
def test_a_missing_dataset_names_hub_and_mirror_at_once(tmp_path, monkeypatch, tokenizer, root):
    monkeypatch.setattr("prunus.task._locate.is_offline_mode", lambda: True)
    monkeypatch.setattr("prunus.task._source.load_dataset", refuse)
    monkeypatch.delenv("PRUNUS_DATA", raising=False)
    if root:
        monkeypatch.setenv("PRUNUS_DATA", str(tmp_path / root))
    looked = r"no files in .*elsewhere.nyu-mll.glue.qqp" if root else "PRUNUS_DATA.*is not set"
    started = time.perf_counter()
    with pytest.raises(PrunusError, match=f"'nyu-mll/glue'.*'qqp'.*{looked}.*hub"):
        build("task", {"name": "glue", "subset": "qqp"}).prepare(tokenizer)
    assert time.perf_counter() - started < 2


def refuse(name, config):
    raise ConnectionError(f"Couldn't reach {name!r} on the Hub (offline mode)")


@pytest.mark.parametrize("model", ["runs/no-such-model", "./no/such/folder", "/no/such/folder"])
@pytest.mark.parametrize("offline", [True, False])
def test_a_missing_model_is_told_at_once(monkeypatch, model, offline):
    def unreachable(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr("prunus.task._locate.is_offline_mode", lambda: offline)
    monkeypatch.setattr("prunus.task._locate.HfApi.repo_info", unreachable)
    started = time.perf_counter()
    with pytest.raises(PrunusError, match=rf"model '{model}' was not found: no such file.*hub"):
        resolve(model)
    assert time.perf_counter() - started < 2


def test_a_model_that_the_hub_has_keeps_its_id(monkeypatch):
    monkeypatch.setattr("prunus.task._locate.is_offline_mode", lambda: False)
    monkeypatch.setattr("prunus.task._locate.HfApi.repo_info", lambda *_, **__: None)
    assert resolve("some/model") == "some/model"


def test_missing_files_folders_and_kinds(tmp_path, write, tokenizer):
    with pytest.raises(PrunusError, match=r"data file 'none\.csv' does not exist"):
        task(data={"train": "none.csv"}).prepare(tokenizer)
    with pytest.raises(PrunusError, match=r"unknown kind of data file '\.cvs'.*'\.csv'"):
        task(data=write([("text", "label")], "data.cvs")).prepare(tokenizer)
    (tmp_path / "void").mkdir()
    with pytest.raises(PrunusError, match=r"void holds no file like \.csv or \.jsonl"):
        task(data=str(tmp_path / "void")).prepare(tokenizer)


def test_a_broken_file_is_told(tmp_path, tokenizer):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(PrunusError, match=r"rows\.parquet cannot be read"):
        task(data=str(tmp_path / "rows.parquet")).prepare(tokenizer)


def test_missing_columns_are_answered_with_those_that_are_there(write, tokenizer):
    data = write([("tweet", "labels"), ("good", 1)])
    with pytest.raises(PrunusError, match=r"'text'.*Known: labels, tweet"):
        task(data=data).prepare(tokenizer)
    with pytest.raises(PrunusError, match=r"'label'.*Did you mean 'labels'"):
        task(data=data, text="tweet").prepare(tokenizer)


def test_an_empty_split_is_told(write, tokenizer):
    one = write([("text", "label"), ("good", 1), ("bad", 0)], "one.csv")
    two = write([("text", "label")], "two.csv")
    with pytest.raises(PrunusError, match=r"the split 'validation' is empty"):
        task(data={"train": one, "validation": two}).prepare(tokenizer)


@pytest.mark.parametrize("column", ["text", "label"])
def test_a_row_that_lacks_a_value_is_told(tmp_path, tokenizer, column):
    columns = {"text": ["good", "bad"], "label": ["yes", "no"]}
    columns[column] = [columns[column][0], None]
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    with pytest.raises(PrunusError, match=f"train: column '{column}' holds nothing in its row 1"):
        task(data=str(tmp_path / "rows.parquet")).prepare(tokenizer)


def test_unknown_tasks_keys_and_subsets_are_answered_with_the_nearest():
    with pytest.raises(PrunusError, match=r"'text_clasification'.*'text_classification'"):
        build("task", {"name": "text_clasification", "data": "rows.csv"})
    with pytest.raises(PrunusError, match=r"unknown key 'labelz'.*'label'"):
        task(data="rows.csv", labelz="sentiment")
    with pytest.raises(PrunusError, match=r"unknown GLUE subset 'sst-2'.*'sst2'"):
        build("task", {"name": "glue", "subset": "sst-2"})
    with pytest.raises(PrunusError, match=r"unknown metric of a classification 'accuracies'"):
        task(data="rows.csv", metric="accuracies")
    with pytest.raises(PrunusError, match=r"unknown metric of a regression 'accuracy'"):
        task(data="rows.csv", metric="accuracy", regression=True)
    with pytest.raises(PrunusError, match=r"splits"):
        task(data="rows.csv", splits={"trained": 3})
