import time

import pytest

from prunus.measure.phases import Phases


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


def test_seconds_go_to_the_innermost_phase_and_add_up(clock):
    phases = Phases()
    clock.now += 1
    with phases("score"):
        clock.now += 2
        with phases("recover"):
            clock.now += 4
        clock.now += 8
    with phases("score"):
        clock.now += 16
    assert phases.seconds == {"score": 26, "recover": 4, "total": 31}


def test_a_phase_that_fails_is_still_counted(clock):
    phases = Phases()

    def fail() -> None:
        with phases("load"):
            clock.now += 3
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    clock.now += 5
    assert phases.seconds == {"load": 3, "total": 8}


def test_an_open_phase_can_be_read(clock):
    phases = Phases()
    with phases("load"):
        clock.now += 2
        assert phases.seconds["load"] == 2
