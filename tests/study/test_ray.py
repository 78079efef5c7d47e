"""Rows on a Ray cluster: workers lost, the driver killed, folders that workers do not see."""

import csv
import json
import os
import re
import signal
import time

import pytest

from prunus.cli import main
from prunus.library import Library
from prunus.study._result import read_results
from tests.recipes.dense import recipe
from tests.study.cluster import Machines, begin, counted, driver, running, said, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def machines():
    found = Machines()
    yield found
    found.close()


@pytest.fixture
def sheet(place, tmp_path):
    def sheet(rows):
        path = tmp_path / "sheet.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("name", "recipe", "budget.density", "seed"))
            for n in range(rows):
                writer.writerow((f"row-{n}", place / "recipe.yaml", f"{0.3 + 0.04 * n:.2f}", n))
        return path

    return sheet


@pytest.fixture
def start(machines):
    """Starts the command line on the cluster; what still runs in the end is killed."""
    begun = []

    def start(*arguments, **how):
        begun.append(driver(*arguments, "--address", machines.address, **how))
        return begun[-1]

    yield start
    for process in begun:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_nothing_is_lost_and_nothing_runs_twice(machines, sheet, start, tmp_path):
    path, out = sheet(6), tmp_path / "out"
    process = start(path, out)
    until(lambda: len(running(out)) == 2, process)
    machines.kill_node(0)
    until(lambda: "tried again (1 of 3)" in (out / "study.log").read_text(), process)
    until(lambda: sum(counted(out, "finished").values()) >= 1, process)
    done = {path: path.stat().st_mtime_ns for path in out.glob("row-*/report.json")}
    until(lambda: machines.slots(out), process)
    machines.slots(out)[0].kill()
    until(lambda: running(out), process)
    process.kill()
    process.wait()
    until(lambda: not running(out))
    again = start(path, out)
    assert again.wait(200) == 0, said(again)
    assert [one.name for one in read_results(out)] == [f"row-{n}" for n in range(6)]
    assert max(counted(out, "finished").values()) == 1
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    told, complaints = said(again)
    assert "ray" not in (told + complaints).lower().replace("array", "")


def test_ctrl_c_ends_all_of_them(sheet, start, tmp_path):
    out = tmp_path / "out"
    process = start(sheet(4), out)
    until(lambda: len(running(out)) == 2, process)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130, said(process)
    assert time.monotonic() - began < 40
    until(lambda: not running(out))
    assert "interrupted" in said(process)[1]
    assert not [path for path in out.iterdir() if path.name.startswith(".seen")]


def test_what_is_made_where_the_folder_is_not_seen_is_fetched(sheet, start, tmp_path):
    """Below /proc/self/cwd each process sees another folder."""
    process = start(sheet(2), "/proc/self/cwd/out", "--retries", "0", cwd=tmp_path)
    assert process.wait(200) == 0, said(process)
    out = tmp_path / "out"
    assert counted(out, "finished") == {"row-0": 1, "row-1": 1}
    for name in ("row-0", "row-1"):
        assert json.loads((out / name / "report.json").read_text())["recipe"]
        assert main(["show", str(out / name / "model")]) == 0
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"row-0", "row-1"}


def test_modules_are_tuned_by_all_machines_and_fetched(machines, tmp_path):
    file = recipe(
        tmp_path, latency=None, budget={"density": 1.0}, score="magnitude",
        drive={"name": "library", "configurations": [{"heads": 0.5, "neurons": 0.5}]},
        evaluation={"baselines": False}, recover=["least_squares"],
    )  # fmt: skip
    asked = ("library", "tune", file, "drive.folder=/proc/self/cwd/library")
    process = begin(file, *asked, "--address", machines.address, cwd=tmp_path)
    assert process.wait(200) == 0, said(process)
    assert len(list(Library(tmp_path / "library").entries())) == 4
    assert "4 of them were tuned just now, in 2 shares" in " ".join(said(process)[0].split())
    log = (tmp_path / "library/tune.log").read_text()
    assert sorted(re.findall(r"(share-\d) finished", log)) == ["share-1", "share-2"]


def test_a_row_that_fails_is_not_tried_again_and_the_others_run(place, start, tmp_path):
    rows = "name,recipe,model\nbroken,{0},no/such\ngood,{0},\n".format(place / "recipe.yaml")
    (tmp_path / "sheet.csv").write_text(rows)
    out = tmp_path / "out"
    process = start(tmp_path / "sheet.csv", out)
    assert process.wait(200) == 2
    assert "1 of 2 rows failed:\nbroken: model 'no/such' was not found" in said(process)[1]
    assert counted(out, "finished") == {"good": 1}
    assert counted(out, "failed") == {"broken": 1}


def test_what_no_machine_has_is_told(sheet, start, tmp_path):
    process = start(sheet(1), tmp_path / "out", "--resources", "{CPU: 1, GPU: 0.5, memory: 1MB}")
    assert process.wait(100) == 2
    assert (
        "no machine of the cluster has CPU 1, GPU 0.5, memory 1000000; the most that one has: CPU"
        " 1, GPU 0, memory"
    ) in said(process)[1]
