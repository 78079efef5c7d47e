import json
import re

import pytest

from prunus.library import Library, fill
from tests.library.modules import key, quickly, wanted


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of three modules, where commands look by themselves."""
    monkeypatch.setenv("PRUNUS_LIBRARY", str(tmp_path))
    library = Library(tmp_path)
    fill(library, wanted(3), quickly)
    return library


def test_ls_lists_the_modules_of_each_dense_model(prunus_, library):
    code, out, err = prunus_("library", "ls")
    assert (code, err) == (0, "")
    assert "tiny base" in out
    rows = [line for line in out.splitlines() if "layer." in line]
    assert [re.search(r"layer\.\d:neurons", row)[0] for row in rows] == [
        f"layer.{index}:neurons" for index in range(3)
    ]
    assert key().digest[:12] in rows[0]
    assert key().digest[:13] not in rows[0]
    assert re.search(r"neurons.* 0.5 .*0.5 → 0.25 .* B .*\d{4}-\d\d-\d\d \d\d:\d\d", rows[0])
    assert re.fullmatch(rf"3 modules, \d.* k?B in {library.folder}", out.splitlines()[-1])


def test_ls_tells_what_is_broken(prunus_, library):
    path = library.path(key())
    path.write_bytes(path.read_bytes()[:-1])
    code, out, _ = prunus_("library", "ls", "--folder", library.folder)
    assert code == 0
    assert f"broken: {path}: not readable (its tensors take " in out
    assert out.splitlines()[-1].startswith("2 modules")
    assert out.endswith("`prunus library gc` removes what is broken\n")
    assert "broken:  not readable" in prunus_("library", "show", path.stem)[1]


def test_show_tells_the_key_and_the_figures(prunus_, library):
    code, out, err = prunus_("library", "show", key(1).digest[:8].upper())
    assert (code, err) == (0, "")
    assert f"file:    {library.path(key(1))}\n" in out
    assert "density: 0.5 of 6 units\n" in out
    told = out.partition("key:     ")[2].split("figures: ")
    assert json.loads(told[0]) == key(1).parts()
    assert json.loads(told[1])["tuned"] == 0.25


def test_gc_says_what_goes_before_and_when_it_does(prunus_, library):
    path = library.path(key())
    path.write_bytes(b"1234")
    planned = prunus_("library", "gc", "--dry-run")
    assert planned[0] == 0
    assert planned[1].splitlines()[0].startswith(f"{path}: no safetensors file")
    assert planned[1].splitlines()[-1] == "would go: 1 file, 4 B"
    assert path.exists()
    assert prunus_("library", "gc")[1].splitlines()[-1] == "removed: 1 file, 4 B"
    assert not path.exists()
    assert prunus_("library", "gc", "--unused", 30)[1] == "removed: 0 files, 0 B\n"
    assert "removed: 2 files" in prunus_("library", "gc", "--unused", 0)[1]
    assert prunus_("library", "ls")[1] == f"0 modules, 0 B in {library.folder}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["ls", "--folder", "no/such"],
            "there is no library in no/such: a run",
        ),
        (["show", "xyz"], "no entry begins with 'xyz'"),
        (["show", ""], "3 entries of"),
        (["gc", "--unused", "-1"], "Must be >= 0"),
    ],
)
def test_bad_input_is_answered(prunus_, library, arguments, message):
    code, out, err = prunus_("library", *arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.replace("│", " ").split())
