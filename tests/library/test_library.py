"""What is kept is found again, bit for bit; what is broken is seen."""

import dataclasses
import json
import os
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from prunus.errors import PrunusError
from prunus.library import Key, Library, Module, fill, place
from prunus.site import Site, Slice
from tests.library.modules import equal, key, mask, module, quickly, site, wanted

ROOT = os.geteuid() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_kept_is_found_bit_for_bit(library, told, dtype):
    own = module(dtype=dtype)
    kept = library.put(key(), own)
    found = library.find(key())
    assert equal(kept, own)
    assert equal(found, own)
    assert told == []


def test_views_grids_and_constants_are_kept(library):
    whole = torch.arange(12.0).reshape(3, 4).requires_grad_()
    tensors = {"turned": whole.T, "column": whole[:, 1], "scale": torch.tensor(2.0)}
    stays = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)) > 0.5
    where = Site("dense:grid", "grid", (5, 3), (Slice("dense.weight", (0, 1), (1, 1)),))
    own, known = (
        Module("dense:grid", "grid", 0.4, stays, tensors, {}),
        Key.of("", "", where, stays, {}),
    )
    library.put(known, own)
    assert equal(library.find(known), own)


def test_a_module_is_not_kept_under_the_key_of_another(library):
    for wrong in (module(1), dataclasses.replace(module(), kind="heads")):
        with pytest.raises(PrunusError, match="not that of"):
            library.put(key(), wrong)


def test_figures_come_back_as_json_has_them(library):
    own = dataclasses.replace(module(), figures={"shape": (1, 2), "error": 0.1 + 0.2})
    kept = library.put(key(), own)
    assert kept.figures == library.find(key()).figures == {"shape": [1, 2], "error": 0.1 + 0.2}


def test_what_is_not_kept_is_not_found(library, told):
    assert library.find(key()) is None
    library.put(key(), module())
    assert library.find(key(1)) is None
    assert told == []


def test_a_key_is_the_same_however_it_is_spelt():
    one = key(loss="mse", steps=(1, 2), more={"b": 1, "a": 2})
    other = key(more={"a": 2, "b": 1}, steps=[1, 2], loss="mse")
    assert one.digest == other.digest
    assert len(one.digest) == 64


@pytest.mark.parametrize("part", [one.name for one in dataclasses.fields(Key)])
def test_a_key_differs_where_any_part_does(part):
    other = {"objective": {"steps": 1}, "format": 2}.get(part, "other")
    assert dataclasses.replace(key(), **{part: other}).digest != key().digest


def test_a_key_knows_the_mask_and_where_the_units_live():
    known = {key().digest}
    flipped, moved = mask(), dataclasses.replace(site(), slices=(Slice("up.weight", (0,), (3,)),))
    flipped[0] = True
    known.add(Key.of("base", "data", site(), flipped, {}).digest)
    known.add(Key.of("base", "data", moved, mask(), {}).digest)
    assert len(known) == 3


DAMAGES = {
    "truncated": lambda data: data[:-3],
    "cut short": lambda data: data[:5],
    "empty": lambda data: b"",
    "tensor": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "figure": lambda data: data.replace(rb"pruned\":0.5", rb"pruned\":0.6"),
    "absurd header": lambda data: struct.pack("<Q", 2**62) + data[8:],
    "long header": lambda data: struct.pack("<Q", struct.unpack("<Q", data[:8])[0] + 8) + data[8:],
    "text": lambda data: b"not a tensor in sight, but long enough to have a header",
}


def damage(how, path):
    before = path.read_bytes()
    path.write_bytes(DAMAGES[how](before))
    assert path.read_bytes() != before


@pytest.mark.parametrize("how", DAMAGES)
def test_a_broken_entry_is_told_and_made_anew(library, told, how):
    library.put(key(), module())
    path = library.path(key())
    damage(how, path)
    assert library.find(key()) is None
    assert len(told) == 1
    assert str(path) in told[0]
    found = fill(library, wanted(2), quickly)
    assert (found.reused, found.tuned, found.redone) == ([], ["1"], ["0"])
    assert len(told) == 2
    assert "made anew" in told[1]
    assert equal(library.find(key()), module())
    assert len(told) == 2


def test_the_file_of_another_is_no_entry(library, told):
    library.put(key(1), module(1))
    path = library.path(key())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(library.path(key(1)).read_bytes())
    assert library.find(key()) is None
    save_file({"weight": torch.ones(2)}, path)
    assert library.find(key()) is None
    save_file({"weight": torch.ones(2)}, path, {"prunus": json.dumps([1])})
    assert library.find(key()) is None
    assert "another key" in told[0]
    assert len(told) == 3


def test_another_format_is_told(library, told):
    library.put(key(), module())
    path = library.path(key())
    about = json.dumps({"format": 7, "key": key().parts()})
    save_file(load_file(path), path, {"prunus": about})
    assert library.find(key()) is None
    assert "format 7 and was written by a newer prunus" in told[0]


def test_finding_marks_as_used(library):
    library.put(key(), module())
    os.utime(library.path(key()), (0, 0))
    assert [entry.used for entry in library.entries()] == [0]
    library.find(key())
    assert [entry.used > 1e9 for entry in library.entries()] == [True]


def test_entries_are_known_by_their_headers(library):
    for index in range(3):
        library.put(key(index), module(index))
    (library.folder / "notes.txt").write_text("mine")
    entries = list(library.entries())
    assert {entry.digest for entry in entries} == {one.digest for one in wanted(3).values()}
    first = library.entry(key().digest[:12])
    assert first.about["key"] == key().parts()
    assert first.about["figures"] == module().figures
    assert (first.bytes, first.fault) == (first.path.stat().st_size, "")
    damage("truncated", first.path)
    assert library.entry(first.digest).fault


def test_a_prefix_must_mean_one_entry(library):
    with pytest.raises(PrunusError, match="no entry begins with 'ab'"):
        library.entry("ab")
    library.put(key(0), module(0))
    library.put(key(1), module(1))
    with pytest.raises(PrunusError, match=r"2 entries of .* begin with ''"):
        library.entry("")


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
def test_a_library_that_may_only_be_read_serves_what_it_has(library):
    library.put(key(), module())
    folders = [library.folder, *library.folder.iterdir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert fill(library, wanted(1), pytest.fail).reused == ["0"]
        with pytest.raises(PrunusError, match="cannot be written"):
            fill(library, wanted(2), pytest.fail)
        with pytest.raises(PrunusError, match="cannot be written"):
            library.put(key(1), module(1))
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "library").write_text("")
    with pytest.raises(PrunusError, match=r"library .* cannot be written"):
        Library(tmp_path / "library").put(key(), module())
    with pytest.raises(PrunusError, match=r"library .* cannot be written"):
        fill(Library(tmp_path / "library"), wanted(1), pytest.fail)


def test_the_default_folder(tmp_path):
    assert place({"PRUNUS_LIBRARY": str(tmp_path)}) == tmp_path
    assert place({"PRUNUS_CACHE": str(tmp_path)}) == tmp_path / "library"
