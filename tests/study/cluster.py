"""A Ray cluster on this machine, with workers that die."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
NODE = {"object_store_memory": 80_000_000, "include_dashboard": False}
TOKEN = secrets.token_hex(32)
SAYS = "cluster: "
LONG = 200.0
"""Seconds after which something is taken to hang."""


def environment():
    """What nodes and drivers need; who lacks the token is not let in."""
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    settings = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return settings | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


class Machines:
    """A cluster in a process of its own, so that this one knows nothing of Ray."""

    def __init__(self):
        command = [sys.executable, "-m", "tests.study.cluster"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        quiet = {"stderr": subprocess.DEVNULL, "cwd": ROOT, "env": os.environ | environment()}
        self._process = subprocess.Popen(command, **pipes, **quiet)
        self.address = self._answer()

    def kill_node(self, place):
        """One of the two workers goes, with all that runs on it; another one comes."""
        self._process.stdin.write(f"{place}\n")
        self._process.stdin.flush()
        assert self._answer() == str(place)

    def slots(self, out):
        """The processes of Ray that look after the rows that run."""
        above = {own for row in running(out) for own in _above(row)}
        return [one for one in above if _called(one).startswith("ray::Slot")]

    def close(self):
        self._process.communicate()

    def _answer(self):
        for line in self._process.stdout:
            if line.startswith(SAYS):
                return line.removeprefix(SAYS).strip()
        raise AssertionError("the cluster did not start")


def serve():
    """A head that runs nothing, and two workers of one processor each; lines say who shall go."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
    workers = [cluster.add_node(num_cpus=1, **NODE) for _ in range(2)]
    print(f"{SAYS}{cluster.address}", flush=True)
    for line in sys.stdin:
        cluster.remove_node(workers[int(line)], allow_graceful=False)
        workers[int(line)] = cluster.add_node(num_cpus=1, **NODE)
        print(f"{SAYS}{line.strip()}", flush=True)
    cluster.shutdown()


def _above(process):
    try:
        return process.parents()
    except psutil.Error:
        return []


def _called(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def driver(sheet, out, *options, cwd=ROOT):
    """A study on a cluster."""
    return begin(sheet, "study", "run", sheet, "--out", out, *options, cwd=cwd)


def begin(sheet, *arguments, cwd=ROOT):
    """The command line, in a process group of its own; what it says lies beside the sheet."""
    command = [sys.executable, "-m", "tests.study.driver", *map(str, arguments), "--engine", "ray"]
    how = {"cwd": cwd, "env": os.environ | environment(), "process_group": 0}
    with sheet.with_suffix(".out").open("w") as told, sheet.with_suffix(".err").open("w") as wrong:
        how |= {"stdout": told, "stderr": wrong, "preexec_fn": _interruptible}
        process = subprocess.Popen(command, **how)
    process.files = (Path(told.name), Path(wrong.name))
    return process


def _interruptible():
    """A shell lets what it starts in the background ignore Ctrl-C, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def said(process):
    """What a driver wrote: standard output, standard error."""
    return tuple(file.read_text() for file in process.files)


def running(out):
    """The processes in which rows run: they write into the study's log."""
    log = str((out / "study.log").resolve())
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.readlink(f"/proc/{process.pid}/fd/1") == log and process.status() != "zombie":
                found.append(process)
    return found


def counted(out, what):
    """How often each row did something, by the log."""
    log = out / "study.log"
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    tail = f" {what}"
    return Counter(line.removesuffix(tail).split()[-1] for line in lines if line.endswith(tail))


def until(true, process=None):
    """Wait for something, while a driver runs; how many seconds that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < LONG
        assert process is None or process.poll() is None, said(process)
        time.sleep(0.02)
    return time.monotonic() - began


if __name__ == "__main__":
    serve()
