import errno
import os

import pytest

from prunus.errors import PrunusError
from prunus.report import read, write
from tests.report.sample import sample


def test_a_report_comes_back_from_the_disk(tmp_path):
    page = write(sample(), tmp_path / "run")
    assert page.read_text().startswith("<!doctype html>")
    assert read(tmp_path / "run") == sample()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space left"), KeyboardInterrupt()])
def test_the_old_report_stays_whole_when_writing_fails(tmp_path, monkeypatch, error):
    write(sample(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_handle):
        raise error

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(type(error)):
        write(sample(seed=1), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_without_a_report_is_told(tmp_path):
    with pytest.raises(PrunusError, match="finished run"):
        read(tmp_path)


def test_a_broken_report_is_told(tmp_path):
    (tmp_path / "report.json").write_text('{"model": 1')
    with pytest.raises(PrunusError, match="not readable JSON"):
        read(tmp_path)
