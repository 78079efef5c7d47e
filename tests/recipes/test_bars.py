import threading

import pytest

from prunus.recipe._bars import Bars


@pytest.fixture
def terminal(monkeypatch):
    """Makes rich believe that standard error is a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("prunus.recipe._bars.EVERY", 0.0)


def walk(quiet):
    threads = threading.active_count()
    with Bars(quiet) as bars:
        bars.step("sweep", 0, 2)
        assert list(bars.over("abc", "calibration data")) == ["a", "b", "c"]
        assert next(iter(bars.over("abc", "calibration data"))) == "a"
        bars.step("sweep", 1, 2)
        assert threading.active_count() == threads
        bars.clear()


def test_bars_show_what_is_done_and_what_is_left(terminal, capsys):
    walk(quiet=False)
    told = capsys.readouterr()
    assert told.out == ""
    for part in ("sweep", "1/2", "calibration data", "2/3", "left"):
        assert part in told.err


def test_quiet_bars_show_nothing(terminal, capsys):
    walk(quiet=True)
    assert capsys.readouterr() == ("", "")


def test_bars_are_for_terminals(capsys):
    walk(quiet=False)
    assert capsys.readouterr() == ("", "")


def test_what_is_watched_is_still_a_list():
    watched = Bars(quiet=True).over([1, 2], "data")
    assert isinstance(watched, list)
    assert (len(watched), watched[1], list(watched), list(watched)) == (2, 2, [1, 2], [1, 2])
