"""Rows in processes of their own: killed, interrupted, dying, one at a time, and run once."""

import csv
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from prunus.errors import PrunusError
from prunus.held import Held, beside, held
from prunus.study import _run, read_sheet
from prunus.study._job import carry_out
from prunus.study._result import read_results
from prunus.study.engine._process import _death

ROOT = Path(__file__).parents[2]
NAMES = [f"row-{n}" for n in range(12)]
LONG = 100.0


@pytest.fixture
def sheet(place, tmp_path):
    rows = [(name, 0.3 + 0.04 * n, n) for n, name in enumerate(NAMES)]
    with (tmp_path / "sheet.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "recipe", "budget.density", "seed"))
        writer.writerows((name, place / "recipe.yaml", f"{d:.2f}", n) for name, d, n in rows)
    return tmp_path / "sheet.csv"


@pytest.fixture
def start(sheet):
    """Starts the command line on the sheet; what still runs in the end is killed."""
    begun = []

    def start(*options, workers=2):
        command = [sys.executable, "-m", "tests.study.driver", "study", "run", str(sheet)]
        command += ["--out", str(sheet.parent / "out"), "--workers", str(workers), *options]
        paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "2"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        how = {"process_group": 0, "preexec_fn": _interruptible, **pipes}
        begun.append(subprocess.Popen(command, cwd=ROOT, env=environment, **how))
        return begun[-1]

    yield start
    for process in begun:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _interruptible():
    """A shell lets what it starts in the background ignore Ctrl-C, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def counted(out, what):
    """How often each row did something, by the log."""
    text = (out / "study.log").read_text() if (out / "study.log").is_file() else ""
    return Counter(re.findall(rf"  (row-\d+) {what}$", text, re.MULTILINE))


def until(true, process=None):
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def alive(processes):
    return [one for one in processes if one.is_running() and one.status() != "zombie"]


@pytest.mark.slow
def test_a_study_that_is_killed_twice_runs_every_row_once(sheet, start):
    out = sheet.parent / "out"
    for finished in (3, 7):
        process = start()
        until(lambda least=finished: sum(counted(out, "finished").values()) >= least, process)
        until(lambda: len(counted(out, "started") - counted(out, "finished")) > 0, process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        until(lambda own=children: not alive(own))
        assert sum(counted(out, "finished").values()) < len(NAMES)
    done = {path: path.stat().st_mtime_ns for path in out.glob("*/report.json")}
    assert len(done) >= 7
    process = start()
    told, complaints = process.communicate(timeout=LONG)
    assert process.returncode == 0, complaints
    assert max(counted(out, "finished").values()) == 1
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    assert {path.name for path in out.iterdir() if path.is_dir()} == set(NAMES)
    results = read_results(out)
    assert [one.name for one in results] == NAMES
    assert [one.recipe["seed"] for one in results] == list(range(12))
    assert "row-11" in told
    started = counted(out, "started")
    again = start()
    again.communicate(timeout=LONG)
    assert again.returncode == 0
    assert counted(out, "started") == started


@pytest.mark.slow
def test_a_row_whose_process_dies_fails_alone_and_an_interrupted_study_leaves_nobody(sheet, start):
    out = sheet.parent / "out"
    process = start("--rows", "row-*", "--retries", "0", workers=1)
    until(lambda: counted(out, "started")["row-0"], process)
    (worker,) = [
        one
        for one in psutil.Process(process.pid).children(recursive=True)
        if (out / "study.log").resolve() in {Path(own.path) for own in _files(one)}
    ]
    worker.kill()
    until(lambda: counted(out, "started")["row-2"], process)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=LONG)
    assert process.returncode == 130, said
    until(lambda: not alive(children))
    assert not [path.name for path in out.iterdir() if re.search(r"\.[0-9a-f]{8}$", path.name)]
    page = (out / "study.html").read_text()
    assert "row-0 failed: its process was ended by SIGKILL; was there enough memory?" in page


def _files(process):
    try:
        return process.open_files()
    except psutil.Error:
        return []


def test_one_study_at_a_time(place, sheet, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    lock, told = out / ".study.lock", f"already .process {os.getpid()} on"
    with held(lock, "me"), pytest.raises(PrunusError, match=told):
        _run.study(read_sheet(sheet), out, quiet=True)
    with held(lock, "me"):
        pass
    assert not lock.exists()


def test_a_row_that_another_process_runs_is_waited_for_and_then_told(sheet, tmp_path, monkeypatch):
    monkeypatch.setattr("prunus.study._job.PATIENCE", 0.1)
    row, *_ = read_sheet(sheet)
    told = pytest.raises(Held, match=f"a run is going on there already .process {os.getpid()} on")
    with held(beside(tmp_path / row.name), "me"), told:
        carry_out(row, tmp_path, logging.getLogger(), quiet=True)


def test_how_a_process_died_is_told():
    assert _death(-9) == "its process was ended by SIGKILL; was there enough memory?"
    assert _death(-11) == "its process was ended by SIGSEGV"
    assert "code 3" in _death(3)
