"""Hostile input: a hundred thousand broken files, and what their readers make of them.

    python benchmarks/fuzz.py [--run NAME] [--parser recipes] [--inputs 100000]

Seeds are the files of ``tests/formats``, shipped recipes, and sheets made here. Inputs are their
mutations: of what they say (values, keys, sizes, nesting, aliases, headers, cells, references) and
of their bytes. Each is read as commands read it, by the clock of the processor and under a limit of
memory. What is right is a result or a PrunusError. Each batch is a process, and a line in
``results/fuzz.jsonl``; batches of a run that are there already are not run again.
"""

import argparse
import contextlib
import io
import json
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mutations import Files, mutated

HERE = Path(__file__).parent
FORMATS = HERE.parent / "tests/formats"
RESULTS = HERE / "results/fuzz.jsonl"
BATCH = 2500
SECONDS = 5
ROOM = 2**30
"""Bytes that reading may take beside what the process has."""
CALLED = 50
"""Every so many inputs one is given to the command line as well."""
SHARES = {"recipes": 0.2, "plans": 0.4, "sheets": 0.1, "checkpoints": 0.1, "reports": 0.2}


class Hang(BaseException):
    """A reader took too long."""


def seeds() -> dict[str, list[Files]]:
    recipes = sorted((HERE.parent / "recipes").glob("*/*.yaml"))
    sheets = [path for path in recipes if b"rows:" in path.read_bytes()]
    bodies = [path for path in recipes if path not in sheets]
    return {
        "recipes": [{"recipe.yaml": path.read_bytes()} for path in bodies],
        "plans": [_one(f"plan-{name}") for name in ("1.safetensors", "2.safetensors", "2.json")],
        "sheets": [{"sheet.yaml": path.read_bytes()} for path in sheets] + list(_tables()),
        "checkpoints": [_folder("checkpoint-1"), _folder("checkpoint-2"), _sharded()],
        "reports": [
            {"report.json": (FORMATS / "report-1.json").read_bytes()},
            {"study.json": (FORMATS / "study-2.json").read_bytes()},
        ],
    }


def _one(name: str) -> Files:
    return {name: (FORMATS / name).read_bytes()}


def _folder(name: str) -> Files:
    """A checkpoint without its seal, which would refuse whatever is changed."""
    paths = (path for path in (FORMATS / name).iterdir() if path.name != "prunus.json")
    return {path.name: path.read_bytes() for path in sorted(paths)}


def _sharded() -> Files:
    files = _folder("checkpoint-1")
    data = files.pop("model.safetensors")
    said = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    part = "model-00001-of-00001.safetensors"
    index = {"metadata": {}, "weight_map": {name: part for name in said if name[0] != "_"}}
    return {**files, part: data, "model.safetensors.index.json": json.dumps(index).encode()}


def _tables() -> Iterator[Files]:
    from openpyxl import Workbook

    head = ["name", "recipe", "budget.density", "score"]
    rows = [["a", "kprune", 0.5, "fisher"], ["b", "kprune", 0.25, "{name: obs}"]]
    text = "\n".join(",".join(map(str, row)) for row in [head, *rows])
    yield {"sheet.csv": text.encode()}
    book = Workbook()
    for row in [head, *rows]:
        book.active.append(row)
    book.active.merge_cells("B2:B3")
    data = io.BytesIO()
    book.save(data)
    yield {"sheet.xlsx": data.getvalue()}


def recipe(path: Path) -> list[str]:
    from prunus.recipe import read, read_training

    text = (path / "recipe.yaml").read_bytes()
    (read_training if b"training" in text and b"score" not in text else read)(path / "recipe.yaml")
    return ["check", str(path)]


def plan(path: Path) -> list[str]:
    from prunus.plan import Plan

    file = next(path.iterdir())
    Plan.load(file).kept()
    return ["show", str(file)]


def sheet(path: Path) -> list[str]:
    from prunus.study import read_sheet

    file = next(path.iterdir())
    read_sheet(file)
    return ["study", "run", str(file), "--rows", "none", "--out", str(path / "out")]


def checkpoint(path: Path) -> list[str]:
    from prunus.checkpoint import load

    load(path)
    return ["show", str(path)]


def report(path: Path) -> list[str]:
    from prunus.report import read, tables
    from prunus.report._html import html
    from prunus.study._html import html as page
    from prunus.study._result import read_results
    from prunus.study._table import figures, markdown, table

    if (path / "study.json").exists():
        found = read_results(path)
        for shown in (table, markdown, figures):
            shown(found)
        page("study", found, [], {}, ())
        return ["study", "show", str(path)]
    found = read(path)
    tables(found)
    html(found)
    return ["show", str(path)]


READERS: dict[str, Callable[[Path], list[str]]] = {
    "recipes": recipe, "plans": plan, "sheets": sheet, "checkpoints": checkpoint,
    "reports": report,
}  # fmt: skip


def late(*_: Any) -> None:
    raise Hang


def batch(parser: str, number: int, size: int, faults: str) -> None:
    """Read so many inputs; the tally goes to standard output as JSON."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGPROF, late)
    every, reader, tally = seeds()[parser], READERS[parser], Counter[str]()
    whole, draw = [dict(seed) for seed in every], random.Random(f"{parser} {number}")
    with TemporaryDirectory() as place, contextlib.redirect_stderr(io.StringIO()):
        for seed in whole:  # imports whatever is needed, before memory is limited
            outcome(reader, put(Path(place), seed))
        began, before = time.process_time(), limit()
        for place_in_batch in range(size):
            files = mutated(draw, dict(draw.choice(every)))
            found, told = outcome(reader, put(Path(place), files))
            if found in ("read", "refused") and place_in_batch % CALLED == 0:
                found, told = called(reader, parser, Path(place) / "input", found)
                tally["commands"] += 1
            tally[found] += 1
            if found not in ("read", "refused"):
                keep(Path(faults) / f"{parser}-{number}-{place_in_batch}", files, told)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = {"seconds": round(time.process_time() - began, 1), "growth": max(0, peak - before)}
    print(json.dumps({**dict(tally), **line}))


def limit() -> int:
    """Let the process grow by so much and no more; what it has is returned, in bytes."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    size = 1024 * int(told["VmSize"].split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def put(place: Path, files: Files) -> Path:
    folder = place / "input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def outcome(reader: Callable[[Path], list[str]], path: Path) -> tuple[str, str]:
    """read, refused, hang, memory or traceback; and why."""
    from prunus.errors import PrunusError

    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        reader(path)
    except PrunusError as error:
        return "refused", str(error)
    except Hang:
        return "hang", ""
    except MemoryError:
        return "memory", traceback.format_exc()
    except Exception:
        return "traceback", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "read", ""


def called(reader: Any, parser: str, path: Path, found: str) -> tuple[str, str]:
    """The same by the command line: exit code 2 with one message where it was refused."""
    from prunus.cli import main

    file = next(path.iterdir())
    calls = {
        "recipes": ["check", str(path)],
        "plans": ["show", str(file)],
        "sheets": ["study", "run", str(file), "--rows", "none", "--out", str(path / "out")],
        "checkpoints": ["show", str(path)],
        "reports": ["show", str(path)],
    }
    if (path / "study.json").exists():
        calls["reports"] = ["study", "show", str(path)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(calls[parser])
    said = err.getvalue()
    right = code in ((2,) if found == "refused" else (0, 2)) and "Traceback" not in said
    if right and "fault of prunus" not in said and (code == 0 or "prunus: " in said):
        return found, ""
    return "command", f"{code}\n{out.getvalue()}\n{said}"


def keep(folder: Path, files: Files, told: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "told.txt").write_text(told)


def apart(parser: str, number: int, size: int, faults: str) -> dict[str, Any]:
    """A batch in a process of its own."""
    import subprocess

    command = [sys.executable, __file__, "--batch", parser, str(number), str(size), faults]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"died": done.returncode, "told": done.stderr[-500:]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run the batches that are not in the results yet, and print the sums."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--run", default="1")
    asked.add_argument("--parser", choices=SHARES)
    asked.add_argument("--inputs", type=int, default=100_000)
    asked.add_argument("--faults", default="runs/fuzz")
    asked.add_argument("--batch", nargs=4)
    given = asked.parse_args()
    if given.batch:
        parser, number, size, faults = given.batch
        batch(parser, int(number), int(size), faults)
        return
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    known = [json.loads(line) for line in lines]
    done = {(one["run"], one["parser"], one["batch"]) for one in known}
    for parser, share in SHARES.items():
        if given.parser not in (None, parser):
            continue
        for number in range(-(-int(share * given.inputs) // BATCH)):
            if (given.run, parser, number) in done:
                continue
            size = min(BATCH, int(share * given.inputs) - number * BATCH)
            told = apart(parser, number, size, given.faults)
            found = {"run": given.run, "parser": parser, "batch": number, "inputs": size, **told}
            with RESULTS.open("a") as file:
                file.write(json.dumps(found) + "\n")
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
