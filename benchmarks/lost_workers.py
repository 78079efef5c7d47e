"""A study on a cluster whose workers are lost, and whose driver is killed: 20 rows, none twice.

    python benchmarks/lost_workers.py

20 tiny runs on a Ray cluster of two workers on this machine. Five times, at random moments, a
worker is lost: a whole node, the process of Ray that looks after a row, or the row's own. Once the
driver is killed, and started again with the same command. Every run counts the rows that have a
result, how often each of them was finished by the log, and whether a report that was there once was
ever replaced. Three to nine minutes.
"""

import os
import random
import re
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

from cells import fill
from psutil import NoSuchProcess

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from prunus.study._result import read_results  # noqa: E402
from tests.recipes.dense import recipe  # noqa: E402
from tests.study.cluster import Machines, counted, driver, running, said, until  # noqa: E402

ROWS, LOSSES = 20, 5
DRIVER = 3
"""After how many losses the driver is killed."""
LONGEST = 12.0
"""Seconds between two losses, at most."""


def measure(seed: int) -> dict:
    chance, began = random.Random(seed), time.monotonic()
    machines = Machines()
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = lose(machines, sheet(Path(folder)), chance)
    finally:
        machines.close()
    return found | {"seconds": round(time.monotonic() - began, 1)}


def sheet(folder: Path) -> Path:
    """20 rows that differ in density and seed."""
    path = recipe(folder, latency=None, evaluation={"baselines": False})
    rows = [f"row-{n:02d},{path},{0.3 + 0.02 * n:.2f},{n}" for n in range(ROWS)]
    (folder / "sheet.csv").write_text("\n".join(["name,recipe,budget.density,seed", *rows]))
    return folder / "sheet.csv"


def lose(machines: Machines, path: Path, chance: random.Random) -> dict:
    out, lost, orphans, seen = path.parent / "out", [], 0.0, {}
    process = start(path, out, machines)
    for number in range(LOSSES):
        until(lambda: running(out), process)
        time.sleep(chance.random() * LONGEST)
        until(lambda: running(out), process)
        look(out, seen)
        lost.append(lose_one(machines, out, chance))
        if number == DRIVER - 1:
            until(lambda: running(out), process)
            process.kill()
            process.wait()
            orphans = until(lambda: not running(out))
            process = start(path, out, machines)
    process.wait()
    assert process.returncode == 0, said(process)
    replaced = [name for name, when in seen.items() if stamp(out / name) != when]
    finished = counted(out, "finished")
    return {
        "lost": lost,
        "driver killed": 1,
        "seconds until its workers had ended": round(orphans, 1),
        "results": len({one.name for one in read_results(out)}),
        "started": sum(counted(out, "started").values()),
        "finished": sum(finished.values()),
        "finished twice": [name for name, times in finished.items() if times > 1],
        "replaced": replaced,
        "left": sorted(left.name for left in out.iterdir() if leftover(left)),
    }


def start(path: Path, out: Path, machines: Machines) -> Popen:
    return driver(path, out, "--address", machines.address, "--retries", "5")


def lose_one(machines: Machines, out: Path, chance: random.Random) -> str:
    what = chance.choice(("node", "slot", "row"))
    if what == "node":
        machines.kill_node(chance.randrange(2))
        return what
    victims = machines.slots if what == "slot" else running
    while True:
        with suppress(NoSuchProcess, IndexError):  # it ended just now: another one goes
            chance.choice(victims(out)).kill()
            return what


def look(out: Path, seen: dict[str, tuple[int, int]]) -> None:
    """Remember the reports that are there."""
    for path in out.glob("row-*/report.json"):
        seen.setdefault(path.parent.name, stamp(path.parent))


def stamp(folder: Path) -> tuple[int, int]:
    """What changes when a run is replaced."""
    told = (folder / "report.json").stat()
    return told.st_ino, told.st_mtime_ns


def leftover(path: Path) -> bool:
    return path.is_dir() and not re.fullmatch(r"row-\d\d", path.name)


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    fill("lost_workers", [{"seed": seed} for seed in range(1)], measure)
