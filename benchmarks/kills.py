"""Fifty kills at random moments: what is lost, what is broken, what a resume ends with.

    python benchmarks/kills.py

Commands on a random BERT of two layers are killed (SIGKILL, with every process that they started)
at a moment drawn between their start and the time that they take undisturbed, and run again with
--resume. Safe points are written as often as can be (save.minutes=0). A row says whether what lay
in the folder after the kill was whole, whether the resume succeeded, whether it ended with the
same weights, plan and quality as the command undisturbed, and what it left behind. Ten minutes on
two cores.
"""

import json
import multiprocessing as mp
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml
from cells import fill
from safetensors.torch import load_file

import prunus
import prunus.recipe.library
import prunus.recipe.rewrite
import prunus.study._run
from prunus.cli import main
from prunus.recipe import _fresh, _steps

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("latency=null", "evaluation.baselines=false", "save.minutes=0")
FINETUNE = "recover=[least_squares, {name: finetune, steps: 12}]"
GRADUAL = (
    "drive={name: gradual, schedule: {name: cubic, warmup: 2, cooldown: 2}}",
    "training={epochs: 4, batch_size: 4}",
    "budget.metric=units",
)
MODULES = {"name": "library", "configurations": {"heads": [0.5, 0.25], "neurons": [0.5, 0.25]}}
KILLS = {
    "oneshot": 6, "sweep": 10, "gradual": 10, "study": 8, "library": 6, "save": 5, "export": 5,
}  # fmt: skip
CELLS = [
    {"work": work, "number": number} for work, count in KILLS.items() for number in range(count)
]


@dataclass(frozen=True)
class Work:
    """A command that writes something.

    Attributes:
        command: of prunus; {out} is where it writes.
        again: what the command that goes on has besides.
    """

    command: tuple[str, ...]
    again: tuple[str, ...] = ()


def works(place: Path) -> dict[str, Work]:
    """Every command, on what lies in a folder."""
    recipe, dense = str(place / "recipe.yaml"), str(place / "dense")
    table, modules = str(place / "study.yaml"), str(place / "library.yaml")
    run = ("run", recipe, *QUICK, "--out", "{out}", "--quiet")
    sweep = ("drive=sweep", "score=knowledge", "select=greedy", FINETUNE)
    return {
        "oneshot": Work(run, ("--resume",)),
        "sweep": Work((*run, *sweep), ("--resume",)),
        "gradual": Work((*run, *GRADUAL), ("--resume",)),
        "study": Work(
            ("study", "run", table, *QUICK, "--workers", "0", "--out", "{out}", "--quiet")
        ),
        "library": Work(("library", "tune", modules, *QUICK, "drive.folder={out}", "--quiet")),
        "save": Work(("save", dense, "{out}", "--portable")),
        "export": Work(("export", dense, "--to", "onnx", "--out", "{out}", "--quiet")),
    }


@cache
def prepared() -> Path:
    """A model, its data, a recipe and a table of two rows."""
    sys.path.insert(0, str(ROOT))
    from tests.recipes.dense import recipe

    place = Path(tempfile.mkdtemp(prefix="kills-"))
    path = recipe(place)
    settings = {
        key: own for key, own in yaml.safe_load(path.read_text()).items() if key != "budget"
    }
    (place / "library.yaml").write_text(json.dumps(settings | {"drive": MODULES}))
    rows = [{"name": f"row-{n}", "budget.density": n / 4} for n in (2, 3)]
    (place / "study.yaml").write_text(json.dumps({"recipe": path.name, "rows": rows}))
    return place


def begin(command: tuple[str, ...], out: Path) -> mp.process.BaseProcess:
    """The command in a process group of its own, a copy of a process that has imported all."""
    said = [one.replace("{out}", str(out)) for one in command]
    context = mp.get_context("forkserver")
    context.set_forkserver_preload([Path(__file__).stem])
    process = context.Process(target=carry_out, args=(said, out.parent))
    process.start()
    return process


def carry_out(said: list[str], place: Path) -> NoReturn:
    """Be the command; what is saved is opened here, to save the seconds of a fresh process."""
    os.setsid()
    os.environ["PRUNUS_CACHE"] = str(place)
    with (place / "said").open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    _steps.fresh_answer = lambda folder, batch, _: _fresh.answer(prunus.load(folder), batch)
    sys.exit(main(said))


@cache
def undisturbed(work: str) -> tuple[float, dict[str, str]]:
    """The least seconds of a command, and what it ends with."""
    own, taken, ends = works(prepared())[work], [], []
    for _ in range(2):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            process = begin(own.command, Path(folder) / "out")
            process.join()
            assert process.exitcode == 0, (Path(folder) / "said").read_text()
            taken.append(time.perf_counter() - began)
            ends.append(found(Path(folder) / "out"))
    assert ends[0] == ends[1], f"{work} does not repeat"
    return min(taken), ends[0]


def found(out: Path) -> dict[str, str]:
    """What counts of a result: the hash of every file of weights, and plans and qualities."""
    files = sorted(out.rglob("*.safetensors")) + sorted(out.rglob("*.onnx*"))
    hashes = {str(file.relative_to(out)): hashed(file) for file in files}
    for file in sorted(out.rglob("report.json")):
        report = json.loads(file.read_text())
        said = [report["plan"], report["quality"]]
        hashes[str(file.relative_to(out))] = sha256(json.dumps(said).encode()).hexdigest()
    return hashes


def hashed(file: Path) -> str:
    """The hash of a file; of tensors alone where a header holds times."""
    digest = sha256()
    if file.suffix != ".safetensors":
        return sha256(file.read_bytes()).hexdigest()
    for name, tensor in sorted(load_file(file).items()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def broken(out: Path) -> list[str]:
    """Files below a folder that cannot be read; only hidden ones may be half-written."""
    told = []
    for file in out.rglob("*") if out.exists() else ():
        hidden = any(part.startswith(".") for part in file.relative_to(out).parts)
        if not file.is_file() or hidden:
            continue
        try:
            if file.suffix == ".safetensors":
                load_file(file)
            elif file.suffix == ".json":
                json.loads(file.read_text())
        except Exception as error:
            told.append(f"{file.relative_to(out)}: {error}")
    return told


def counted(out: Path) -> int:
    """How many safe points there are, of rows too."""
    every = out.parent.rglob("*.checkpoints/points.json")
    return sum(len(json.loads(file.read_text())["points"]) for file in every)


def left(out: Path) -> list[str]:
    """What is there besides the result: fresh folders, checkpoints, locks."""
    beside = [path.name for path in out.parent.iterdir() if path.name != out.name]
    inside = [path.name for path in out.rglob(".*")]
    kept = re.compile(r"said|alignment|latency")
    return sorted(name for name in (*beside, *inside) if not kept.search(name))


def measure(work: str, number: int) -> dict[str, Any]:
    own, (seconds, expected) = works(prepared())[work], undisturbed(work)
    draw = random.Random(f"{work} {number}")
    while True:
        with tempfile.TemporaryDirectory() as folder:
            out, moment = Path(folder) / "out", draw.uniform(0, seconds)
            if killed(own, out, moment):
                return {"seconds": seconds, "moment": moment, **resumed(own, out, expected)}


def killed(own: Work, out: Path, moment: float) -> bool:
    """Whether a command was killed; or else it was over before."""
    process = begin(own.command, out)
    process.join(moment)
    if process.exitcode is not None:
        return False
    with suppress(ProcessLookupError):  # it has not got as far as to have a group
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def resumed(own: Work, out: Path, expected: dict[str, str]) -> dict[str, Any]:
    """What a kill left, and what the command ends with that goes on."""
    damaged, points = broken(out), counted(out)
    again, began = begin((*own.command, *own.again), out), time.perf_counter()
    again.join()
    said, end = (out.parent / "said").read_text(), found(out)
    names = expected.keys() | end.keys()
    return {
        "points": points,
        "broken": [*damaged, *broken(out)],
        "resumed": again.exitcode == 0,
        "error": said[-500:] if again.exitcode else "",
        "again": time.perf_counter() - began,
        "equal": end == expected,
        "differs": sorted(name for name in names if expected.get(name) != end.get(name)),
        "left": left(out),
    }


if __name__ == "__main__":
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)  # where what is preloaded is looked for
    try:
        fill("kills", CELLS, measure)
    finally:
        shutil.rmtree(prepared(), ignore_errors=True)
