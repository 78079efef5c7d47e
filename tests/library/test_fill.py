"""Many processes fill one library: nothing is tuned twice without need, whoever is killed."""

import os
import random
import signal
import threading
import time

import pytest

from prunus.errors import PrunusError
from prunus.files import meant
from prunus.library import Library, _claim, _fill, fill, gc
from prunus.study.engine._process import PRELOADED, _context
from tests.library.modules import equal, key, module, quickly, slowly, wanted

KILLS = 10
MODULES = 60


def names(log):
    return [line.split()[1] for line in log.read_text().splitlines()]


def whole(library, count):
    return all(equal(library.find(key(index)), module(index)) for index in range(count))


def test_only_what_is_new_is_tuned(library, told):
    first = fill(library, wanted(3), quickly)
    assert (first.reused, first.tuned, first.redone) == ([], ["0", "1", "2"], [])
    asked = []
    second = fill(library, wanted(5), lambda names: asked.append(names) or quickly(names))
    assert (second.reused, second.tuned, second.redone) == (["0", "1", "2"], ["3", "4"], [])
    assert asked == [["3", "4"]]
    assert list(second.modules) == list(wanted(5))
    assert all(equal(second.modules[str(index)], module(index)) for index in range(5))
    third = fill(library, wanted(5), pytest.fail)
    assert (third.seconds < 0.1, third.reused) == (True, list(wanted(5)))
    assert told == []


def test_no_locks_are_left(library):
    fill(library, wanted(3), quickly)
    files = [path for path in library.folder.rglob("*") if path.is_file()]
    assert sorted(files) == list(library.paths())


def test_seconds_are_those_of_tuning(library, tmp_path):
    found = fill(library, wanted(3), slowly(tmp_path / "log", 0.1))
    assert 0.3 <= found.seconds < 5
    assert 0 < found.cpu < found.seconds


def test_two_names_of_one_module_are_tuned_once(library):
    asked = []
    both = {"0": key(), "1": key()}
    found = fill(library, both, lambda names: asked.extend(names) or [("0", module())])
    assert (asked, found.tuned, found.reused) == (["0"], ["0"], ["1"])


def test_what_was_tuned_before_a_failure_stays(library):
    def failing(names):
        yield names[0], module(int(names[0]))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(library, wanted(3), failing)
    assert fill(library, wanted(3), quickly).reused == ["0"]


def test_what_is_left_out_is_told(library):
    with pytest.raises(PrunusError, match="tuning gave no module for 1"):
        fill(library, wanted(2), lambda names: [("0", module())])
    assert fill(library, wanted(2), quickly).tuned == ["1"]


def test_locks_are_held_for_a_part_at_a_time(library, monkeypatch):
    monkeypatch.setattr(_fill, "CLAIMS", 2)
    asked = []
    fill(library, wanted(5), lambda names: asked.append(names) or quickly(names))
    assert asked == [["0", "1"], ["2", "3"], ["4"]]


def test_what_others_tune_is_awaited(library, told, tmp_path):
    """One thread tunes two of three; this one tunes the third, and then waits."""
    began = threading.Event()

    def others(names):
        began.set()
        yield from slowly(tmp_path / "log", 0.3)(names)

    thread = threading.Thread(target=fill, args=(Library(library.folder), wanted(2), others))
    thread.start()
    began.wait()
    found = fill(library, wanted(3), slowly(tmp_path / "log", 0))
    thread.join()
    assert (found.tuned, sorted(found.reused)) == (["2"], ["0", "1"])
    assert sorted(names(tmp_path / "log")) == ["0", "1", "2"]
    assert told == ["waiting for 0 and 1 more, which others are tuning"]
    assert found.seconds < 0.3


def test_what_others_leave_undone_is_tuned_here(library, tmp_path):
    began = threading.Event()

    def others(names):
        began.set()
        yield from slowly(tmp_path / "log", 0.3)(names[:1])

    def ended():
        with pytest.raises(PrunusError, match="tuning gave no module for 1"):
            fill(Library(library.folder), wanted(2), others)

    thread = threading.Thread(target=ended)
    thread.start()
    began.wait()
    found = fill(library, wanted(2), quickly)
    thread.join()
    assert (found.reused, found.tuned) == (["0"], ["1"])


def work(folder, log, seconds):
    """What a process does: it tunes a few modules at a time, so that two share the work."""
    _fill.CLAIMS, _fill.POLL = 4, 0.02
    told = []
    fill(Library(folder, told.append), wanted(MODULES), slowly(log, seconds))
    assert all("which others are tuning" in line for line in told), told


def start(*arguments):
    process = _context(PRELOADED).Process(target=work, args=arguments)
    process.start()
    return process


def begun(log, process):
    """Whether a process has begun a module; what it began last."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split()[1] for line in lines if line.startswith(f"{process.pid} ")]


def kill(log, process, chance):
    """Kill a process that is tuning, a random while after it began; what it began last."""
    while not begun(log, process):
        assert process.is_alive()
        time.sleep(0.01)
    time.sleep(chance.random() * 0.2)
    assert process.is_alive()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return begun(log, process)[-1]


def test_processes_that_are_killed_leave_nothing_broken_and_lose_one_module_each(tmp_path):
    folder, log, chance = tmp_path / "library", tmp_path / "log", random.Random(0)
    steady = start(folder, log, 0.3)
    lost = [kill(log, start(folder, log, 0.1), chance) for _ in range(KILLS)]
    last = start(folder, log, 0.0)
    for process in (steady, last):
        process.join()
        assert process.exitcode == 0
    told = []
    library = Library(folder, told.append)
    assert whole(library, MODULES)
    assert told == []
    made = names(log)
    again = [name for name in wanted(MODULES) for _ in range(made.count(name) - 1)]
    assert set(made) == set(wanted(MODULES))
    assert again  # some were killed in the middle
    assert set(again) <= set(lost)
    assert len(again) <= KILLS


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_process_that_is_killed_while_it_writes_leaves_no_entry(library, told, tmp_path, moment):
    process = _context(PRELOADED).Process(target=die_writing, args=(library.folder, moment))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    left = [path for path in library.folder.rglob("*") if path.is_file()]
    assert {meant(path) for path in left if path.suffix != _claim.LOCK} == {
        library.path(key()).name
    }
    assert fill(library, wanted(1), quickly).tuned == ["0"]
    assert told == []


def die_writing(folder, moment):
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, moment, die)
    fill(Library(folder), wanted(1), quickly)


def test_a_library_is_swept_while_it_is_filled(library, told, tmp_path, monkeypatch):
    """Everything that is not being tuned goes at once, and still every module arrives."""
    monkeypatch.setattr(_fill, "CLAIMS", 3)
    over = threading.Event()
    removed = []

    def sweep():
        while not over.is_set():
            removed.extend(gc(Library(library.folder), unused=0))

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        found = fill(library, wanted(30), slowly(tmp_path / "log", 0.01))
    finally:
        over.set()
        thread.join()
    assert all(equal(found.modules[str(index)], module(index)) for index in range(30))
    assert sorted(names(tmp_path / "log")) == sorted(wanted(30))
    assert removed
    assert told == []
