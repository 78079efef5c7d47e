"""What goes from a library, and what stays."""

import os
import time

import pytest

from prunus.library import fill, gc
from prunus.library._claim import claim
from tests.library.modules import equal, key, module, quickly, wanted

DAY = 86400


@pytest.fixture
def filled(library):
    fill(library, wanted(4), quickly)
    return library


def files(library):
    return {path for path in library.folder.rglob("*") if path.is_file()}


def test_a_library_that_is_whole_stays(filled):
    before = files(filled)
    assert gc(filled) == []
    assert files(filled) == before


def test_broken_entries_go(filled):
    path = filled.path(key(2))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1] + b"?")  # its header is whole
    found = gc(filled)
    assert [(one.path, one.bytes) for one in found] == [(path, size)]
    assert "its content is not what was written" in found[0].why
    assert len(list(filled.paths())) == 3
    assert gc(filled) == []


def test_entries_go_that_were_not_found_for_days(filled):
    for index, days in enumerate((1, 10, 20)):
        aged = time.time() - days * DAY
        os.utime(filled.path(key(index)), (aged, aged))
    filled.find(key(2))
    assert gc(filled) == []
    found = gc(filled, unused=5)
    assert [(one.path, one.why) for one in found] == [
        (filled.path(key(1)), "not used for 10.0 days")
    ]
    assert filled.find(key(1)) is None
    assert equal(filled.find(key(0)), module(0))


def test_what_was_never_written_to_its_end_goes_once_nobody_can_be_writing(filled):
    entry = filled.path(key())
    old, young = (entry.with_name(f".{entry.name}.{end}") for end in ("0123abcd", "4567abcd"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert [one.path for one in gc(filled)] == [old]
    assert not old.exists()
    assert young.exists()


def test_free_locks_go(filled):
    lock = filled.path(key()).with_suffix(".lock")
    lock.touch()
    assert gc(filled) == []
    assert not lock.exists()


def test_files_of_others_stay(filled):
    others = [filled.folder / "ab" / name for name in (".hidden", "mine.safetensors", "x.lock")]
    for path in [*others, filled.folder / "README"]:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        os.utime(path, (0, 0))
    assert len(gc(filled, unused=0)) == 4
    assert files(filled) == {*others, filled.folder / "README"}


def test_what_somebody_tunes_stays(filled):
    path = filled.path(key())
    path.write_bytes(b"broken, and being made anew")
    with claim(path) as held:
        assert held
        assert gc(filled) == []
        assert path.with_suffix(".lock").exists()
    assert path.exists()
    assert len(gc(filled)) == 1


def test_a_dry_run_removes_nothing(filled):
    filled.path(key()).write_bytes(b"")
    filled.path(key(1)).with_suffix(".lock").touch()
    before = files(filled)
    assert [one.path for one in gc(filled, dry=True)] == [filled.path(key())]
    assert files(filled) == before


def test_no_folder_is_nothing_to_do(library):
    assert gc(library) == []
    assert not library.folder.exists()
