"""Broken files by the hundred: each is read, or refused in prunus' words."""

import random
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # where the script and its mutations lie
import fuzz  # noqa: E402

sys.path.pop(0)


@pytest.fixture(autouse=True)
def timed():
    """Readers are stopped by a signal."""
    before = signal.signal(signal.SIGPROF, fuzz.late)
    yield
    signal.signal(signal.SIGPROF, before)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("parser", fuzz.READERS)
def test_every_seed_is_read(place, parser):
    for files in fuzz.seeds()[parser]:
        assert fuzz.outcome(fuzz.READERS[parser], fuzz.put(place, files)) == ("read", "")


@pytest.mark.parametrize("parser", fuzz.READERS)
def test_broken_files_are_read_or_refused(place, parser):
    every = fuzz.seeds()[parser]

    @settings(max_examples=200 if parser in ("plans", "reports") else 100)
    @given(st.integers(0, 2**32))
    def read(seed):
        draw = random.Random(seed)
        files = fuzz.mutated(draw, dict(draw.choice(every)))
        found, told = fuzz.outcome(fuzz.READERS[parser], fuzz.put(place, files))
        assert found in ("read", "refused"), told

    read()


@pytest.mark.parametrize("parser", fuzz.READERS)
def test_the_command_line_answers_in_a_line(place, parser):
    every, reader = fuzz.seeds()[parser], fuzz.READERS[parser]
    for seed in range(8):
        draw = random.Random(f"{parser} {seed}")
        path = fuzz.put(place, fuzz.mutated(draw, dict(draw.choice(every))))
        found, _ = fuzz.outcome(reader, path)
        assert fuzz.called(parser, path, found) == (found, "")
