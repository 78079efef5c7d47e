"""Headers, sizes, links and tables that make no sense are refused before memory is taken."""

import json
import shutil
import zipfile
from pathlib import Path

import openpyxl
import pytest
import yaml
from openpyxl import Workbook

import prunus
from prunus import notation
from prunus.errors import PrunusError
from prunus.files import read_bytes
from prunus.headers import LONGEST, decode, header
from prunus.table import worksheets
from tests.formats.make import HERE

GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def encoded(said, data=b"\0" * 8, length=None):
    text = json.dumps(said).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def test_a_whole_header(tmp_path):
    (tmp_path / "a").write_bytes(encoded({"a": GOOD, "__metadata__": {"b": "c"}}))
    found = header(tmp_path / "a")
    assert (found.shapes, found.metadata, found.elements) == ({"a": (2,)}, {"b": "c"}, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234",
        encoded({"a": GOOD}, length=2**63),
        encoded({"a": GOOD}, length=LONGEST + 1),
        encoded({"a": GOOD}, length=10_000),
        encoded({"a": GOOD}, b"\0" * 7),
        encoded({"a": GOOD}, b"\0" * 9),
        encoded([1]),
        encoded({"a": 1}),
        encoded({"a": {**GOOD, "shape": [2**40]}}),
        encoded({"a": {**GOOD, "shape": [0, 2**60], "data_offsets": [0, 0]}}, b""),
        encoded({"a": {**GOOD, "shape": [-1, -2]}}),
        encoded({"a": {**GOOD, "shape": [2.0]}}),
        encoded({"a": {**GOOD, "shape": [True, 2]}}),
        encoded({"a": {**GOOD, "shape": [1] * 40 + [2]}}),
        encoded({"a": {**GOOD, "dtype": "F33"}}),
        encoded({"a": {**GOOD, "dtype": []}}),
        encoded({"a": {**GOOD, "data_offsets": [0, 8, 9]}}),
        encoded({"a": {**GOOD, "data_offsets": [8, 0]}}),
        encoded({"a": GOOD, "b": GOOD}),
        encoded({"a": GOOD, "__metadata__": {"b": 1}}),
        encoded({"a": GOOD, "__metadata__": []}),
        b"\x08\0\0\0\0\0\0\0" + b"[" * 8,
    ],
)
def test_headers_that_make_no_sense(data, tmp_path):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(PrunusError, match="a: not readable"):
        header(tmp_path / "a")
    with pytest.raises(PrunusError):
        decode(data)


@pytest.fixture
def folder(tmp_path):
    """A checkpoint without a seal."""
    made = shutil.copytree(HERE / "checkpoint-1", tmp_path / "model")
    (made / "prunus.json").unlink()
    return made


def change(folder, **said):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | said))


@pytest.mark.parametrize(
    "said",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 10**5},
        {"num_labels": 10**9},
        {"hidden_size": 10**6},
        {"vocab_size": 10**9},
        {"max_position_embeddings": 10**9},
        {"prunus": {"format": 1, "kept": {"encoder.layer.0:neurons": 10**12}}},
        {"prunus": {"format": 1, "kept": {"encoder.layer.0:neurons": [[1]]}}},
        {"prunus": {"format": 1, "kept": [1]}},
        {"prunus": {"format": 1}},
        {"prunus": 1},
        {"prunus": {"format": 2, "kept": {}, "packed": {"a": {"shape": [2**30, 9], "block": []}}}},
        {"id2label": {"0": "a", "x": "b"}},
    ],
    ids=str,
)
def test_sizes_that_do_not_fit(folder, said):
    change(folder, **said)
    with pytest.raises(PrunusError):
        prunus.load(folder)


def test_packed_weights_that_grow(tmp_path):
    folder = shutil.copytree(HERE / "checkpoint-2", tmp_path / "model")
    record = json.loads((folder / "config.json").read_text())["prunus"]
    name = next(iter(record["packed"]))
    record["packed"][name] = {"shape": [2**20, 2**20], "block": [2**18, 2**18]}
    change(folder, prunus=record)
    with pytest.raises(PrunusError, match="no weights of a network"):
        prunus.load(folder)


def test_a_link_that_leads_out(folder, tmp_path):
    (tmp_path / "secret").write_text("{}")
    (folder / "vocab.json").symlink_to(tmp_path / "secret")
    with pytest.raises(PrunusError, match="leads out of the checkpoint"):
        prunus.load(folder)
    (folder / "vocab.json").unlink()
    (folder / "vocab.json").symlink_to("config.json")
    prunus.load(folder)


def test_the_cache_of_the_hub_is_links(folder, tmp_path):
    snapshot = tmp_path / "models--a--b/snapshots/0123"
    blobs = tmp_path / "models--a--b/blobs"
    shutil.copytree(folder, blobs)
    snapshot.mkdir(parents=True)
    for path in blobs.iterdir():
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    prunus.load(snapshot)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", 3, "x"])
def test_an_index_that_leads_out(folder, name):
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    index = {"weight_map": {"a": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(PrunusError, match=r"is no safetensors file of this folder|not readable"):
        prunus.load(folder)


def bomb(levels, wide=10):
    rows = ["a0: &a0 [x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * wide)}]" for n in range(1, levels)]
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(10), "more than 100,000 values"),
        (bomb(100, 1), "within each other"),
        ("[" * 10_000, "within each other"),
        ("[" * 70 + "]" * 70, "within each other"),
        ("a: &a [*a]", "within each other"),
        ("&a a: {<<: [" + "*a, " * 3 + "]}", "expected|values|within"),
        ("x" * 600_000, "at most 524,288 are read"),
        ("!!int x", "none of its kind"),
        ("2001-99-99", "none of its kind"),
        ("1" * 5000, "none of its kind"),
        ("!!python/object/apply:os.system [x]", "could not determine a constructor"),
    ],
)
def test_yaml_that_grows_or_runs(text, message):
    with pytest.raises(yaml.YAMLError, match=message):
        notation.load(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100 + "]" * 100, "{", "\xff", "1" * 5000])
def test_json_that_makes_no_sense(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("latin1"))
    with pytest.raises(PrunusError, match="not readable JSON"):
        notation.read_json(tmp_path / "a.json")


def test_what_is_no_file(tmp_path):
    with pytest.raises(PrunusError, match="is no file"):
        read_bytes(Path("/dev/zero"), 10)
    with pytest.raises(PrunusError, match="is no file"):
        read_bytes(tmp_path, 10)
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(PrunusError, match="larger than 4 bytes"):
        read_bytes(tmp_path / "a", 4)


def book(path, change):
    """A workbook whose parts are changed."""
    made = Workbook()
    made.active.append(["name", "score"])
    made.active.merge_cells("A2:A3")
    made.save(path)
    with zipfile.ZipFile(path) as file:
        parts = {name: change(name, file.read(name)) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, part in parts.items():
            file.writestr(name, part)
    return path


ENTITIES = b'?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, part: part.replace(b"A2:A3", b"A1:XFD1048576"), "more than 200,000 cells"),
        (lambda n, part: part.replace(b'"A1"', b'"A99999"'), "rows and"),
        (lambda n, part: part.replace(b'"A1"', b'"XFD20"'), "rows and"),
        (lambda n, part: part.replace(b"?>", ENTITIES) if b"?>" in part else
         b"<?xml version='1.0'" + ENTITIES + part, "cannot be read as a workbook: Entities"),
        (lambda n, part: part + b" " * 2**23, "bytes unpacked"),
        (lambda n, part: b"", "cannot be read as a workbook"),
    ],
    ids=["merged", "far", "wide", "entities", "bomb", "empty"],
)  # fmt: skip
def test_workbooks_that_grow(tmp_path, change, message):
    with pytest.raises(PrunusError, match=message):
        worksheets(book(tmp_path / "a.xlsx", change))


def test_openpyxl_reads_xml_that_refers_to_nothing():
    assert openpyxl.DEFUSEDXML or openpyxl.LXML


@pytest.mark.parametrize(
    "text", ["a," * 10 + "\n" + "x\n" * 20_000, 'a\n"' + "x" * 200_000, "a" * 2**25]
)
def test_tables_of_text_that_grow(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(PrunusError):
        worksheets(tmp_path / "a.csv")


def test_many_titles_are_told_apart_at_once(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(["a"] * 50_000))
    assert len(worksheets(tmp_path / "a.csv")[""].below(0).titles) == 50_000
