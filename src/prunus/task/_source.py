"""Opening data: a hub id (its local mirror first), files, or a file inside a package."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict, load_dataset
from datasets.table import InMemoryTable
from pyarrow import csv, json, parquet

from prunus.errors import PrunusError, unknown
from prunus.task._locate import local, on_hub
from prunus.task._slices import Rows

ROOT = "PRUNUS_DATA"


def open_source(
    data: str | Mapping[str, str], config: str | None, encoding: str, texts: Sequence[str]
) -> dict[str, Dataset]:
    """The splits of a source by the names that the source gives them.

    Args:
        data: a hub id, a file (its rows become the split ``train``), a folder of files called
            after their splits, ``package:module/file``, or a mapping from split to file.
        config: the hub's configuration, which is a subfolder in a mirror.
        encoding: of CSV and JSONL files.
        texts: the columns that are read as text even where they look like numbers.

    Raises:
        PrunusError: nothing is there, or a file cannot be read.
    """
    if isinstance(data, Mapping):
        return {split: _read(_existing(file), encoding, texts) for split, file in data.items()}
    path = local(data)
    if path is not None and path.is_file():
        return {"train": _read(path, encoding, texts)}
    folder = _mirror(path or _root() / data, config)
    if folder is not None:
        return {file.stem: _read(file, encoding, texts) for file in folder}
    if path is not None:
        raise PrunusError(f"{path / (config or '')} holds no file like {' or '.join(READERS)}")
    return _from_hub(data, config)


def require_columns(
    splits: Mapping[str, Dataset], columns: Sequence[str], where: str, mend: str
) -> None:
    """Check that every split has ``columns``.

    Args:
        splits: rows by split.
        columns: their names.
        where: what was opened, for the error.
        mend: how to mend it.

    Raises:
        PrunusError: one is missing; the columns that are there are named.
    """
    for split, rows in splits.items():
        for column in columns:
            if column not in rows.column_names:
                what = f"column of {where} ({split})"
                raise unknown(what, column, rows.column_names, mend)


def column(source: Mapping[str, Dataset], drawn: Rows, name: str) -> dict[str, list[Any]]:
    """The values of a column for each drawn split."""
    whole = {theirs: source[theirs][name][:] for theirs, _ in drawn.values()}
    return {
        ours: [whole[theirs][row] for row in rows.tolist()]
        for ours, (theirs, rows) in drawn.items()
    }


def _root() -> Path:
    return Path(os.environ.get(ROOT) or os.devnull)


def _mirror(folder: Path, config: str | None) -> list[Path] | None:
    folder = folder / config if config else folder
    files = sorted(file for file in folder.glob("*") if file.suffix in READERS)
    return files or None


def _existing(file: str) -> Path:
    path = local(file)
    if path is None or not path.is_file():
        raise PrunusError(f"data file {file!r} does not exist (looked from {Path.cwd()})")
    return path


def _from_hub(name: str, config: str | None) -> dict[str, Dataset]:
    mirror = f"no files in {_root() / name / (config or '')} (the mirror under {ROOT})"
    looked = mirror if os.environ.get(ROOT) else f"{ROOT}, the root of a local mirror, is not set"
    on_hub(name, "dataset", looked)
    try:
        loaded = load_dataset(name, config)
    except Exception as error:  # the hub's clients raise many kinds, cached or not
        raise PrunusError(
            f"dataset {name!r} (config {config!r}) was not found: no such file or folder (looked"
            f" from {Path.cwd()}); {looked}; the hub's client said: {error}"
        ) from error
    assert isinstance(loaded, DatasetDict)
    return {str(split): rows for split, rows in loaded.items()}


def _read(path: Path, encoding: str, texts: Sequence[str]) -> Dataset:
    if path.suffix not in READERS:
        raise unknown("kind of data file", path.suffix, READERS, f"The file is {path}.")
    try:
        table = READERS[path.suffix](path, encoding, texts)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        hint = f" Try `encoding: latin-1` (now {encoding})." if "utf" in str(error).lower() else ""
        raise PrunusError(f"{path} cannot be read: {error}.{hint}") from error
    return Dataset(InMemoryTable(table))


def _recoded(path: Path, encoding: str) -> tuple[pa.BufferReader, int]:
    """The bytes of a file in UTF-8, and a block size that makes types be inferred from all rows."""
    data = path.read_bytes().decode(encoding).encode()
    return pa.BufferReader(data), len(data) + 1


def _csv(path: Path, encoding: str, texts: Sequence[str]) -> pa.Table:
    data, block = _recoded(path, encoding)
    return csv.read_csv(
        data,
        read_options=csv.ReadOptions(block_size=block),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types={name: pa.string() for name in texts}),
    )


def _jsonl(path: Path, encoding: str, texts: Sequence[str]) -> pa.Table:
    data, block = _recoded(path, encoding)
    return json.read_json(data, read_options=json.ReadOptions(block_size=block))


def _parquet(path: Path, encoding: str, texts: Sequence[str]) -> pa.Table:
    return parquet.read_table(path)


READERS: dict[str, Callable[[Path, str, Sequence[str]], pa.Table]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
