"""The kernel is compiled once for a machine, and whatever is broken is said or mended."""

import shutil
import subprocess
import sys

import pytest

from prunus.errors import PrunusError
from prunus.sparse import c
from prunus.sparse._compile import compiled
from prunus.sparse._kernel import kernel_of


def libraries(folder):
    return list(folder.rglob("*.so"))


def test_it_is_compiled_once(anew):
    first = compiled(c.SOURCE)
    when = first.stat().st_mtime_ns
    assert compiled(c.SOURCE) == first
    assert first.stat().st_mtime_ns == when
    assert libraries(anew) == [first]


@pytest.mark.parametrize("damage", [b"", b"no library"])
def test_a_damaged_library_is_made_anew(anew, damage):
    path = compiled(c.SOURCE)
    whole = path.read_bytes()
    path.write_bytes(damage or whole[: len(whole) // 2])
    assert compiled(c.SOURCE) == path
    assert path.read_bytes() == whole
    c.load()


def test_another_source_is_another_library(anew, tmp_path):
    source = tmp_path / "kernel.c"
    source.write_text("int one(void) { return 1; }\n")
    first = compiled(source)
    source.write_text("int one(void) { return 2; }\n")
    assert compiled(source) != first


def test_two_processes_compile_at_once(anew):
    text = "import torch; from prunus.sparse import c; c.load(); print(c.SOURCE)"
    both = [
        subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE) for _ in range(2)
    ]
    for process in both:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    assert len(libraries(anew)) == 1
    assert not [path for path in anew.rglob("*") if path.name.startswith(".")]


def test_a_compiler_that_fails_is_told(anew, monkeypatch):
    monkeypatch.setenv("CC", "false")
    with pytest.raises(PrunusError, match=r"false.*failed"):
        c.load()


def test_source_that_does_not_compile_is_told(anew, tmp_path):
    source = tmp_path / "broken.c"
    source.write_text("int one(void) { return }\n")
    with pytest.raises(PrunusError, match=r"failed.*error"):
        compiled(source)


def test_cc_with_options(anew, monkeypatch):
    monkeypatch.setenv("CC", "cc -O1")
    c.load()


def test_a_cache_that_cannot_be_written_is_told(anew, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path / "file"))
    with pytest.raises(PrunusError, match="PRUNUS_CACHE"):
        c.load()


def test_without_a_compiler_there_is_numba(no_compiler):
    assert kernel_of(None) == "numba"
    with pytest.raises(PrunusError, match="no C compiler"):
        kernel_of("c")


def test_without_both_both_are_told(no_compiler, monkeypatch):
    from prunus.sparse import numba

    numba.load.cache_clear()
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(PrunusError, match=r"(?s)no C compiler.*prunus\[sparse\]"):
        kernel_of(None)


def test_an_unknown_kernel_is_told():
    with pytest.raises(PrunusError, match=r"unknown sparse kernel 'nunba'\. Did you mean 'numba'"):
        kernel_of("nunba")


def test_the_fastest_is_c():
    assert shutil.which("cc")
    assert kernel_of(None) == "c"
