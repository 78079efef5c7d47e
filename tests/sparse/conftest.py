import shutil

import pytest

from prunus.sparse import c


@pytest.fixture(scope="session", autouse=True)
def kept(tmp_path_factory):
    """A cache of the tests' own, in which the kernel is compiled once."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("kernels")
    patch.setenv("PRUNUS_CACHE", str(folder))
    yield folder
    patch.undo()


@pytest.fixture
def anew(monkeypatch, tmp_path):
    """Nothing is compiled yet, and nothing is after the test."""
    monkeypatch.setenv("PRUNUS_CACHE", str(tmp_path))
    c.load.cache_clear()
    yield tmp_path
    c.load.cache_clear()


@pytest.fixture
def no_compiler(anew, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name, **_: None)
    return anew
