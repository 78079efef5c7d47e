"""What processes that share a run tell each other, and what a study costs beside its runs.

    python benchmarks/scale_apart.py            # measure what results/scale_apart.jsonl lacks
    python benchmarks/scale_apart.py --table    # the tables of docs/scale.md

``ranks``: steps of ``scale.py`` by processes of one thread each, which torchrun starts and gloo
connects; ``mib`` and ``seconds`` are the largest of any of them, ``sent`` is what each gives to
collective operations, in MiB. ``runs``: a study all of whose rows are finished is started again, so
that every row is checked, read and written into its tables; ``event`` is how long the tables take
when one more row ends. Three minutes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import scale
from cells import fill, rows

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

STEPS = ("score fisher", "score obs", "least_squares")
SHAPES = ({"width": 256, "tokens": 4096}, {"width": 512, "tokens": 4096})
MORE = {"width": 256, "tokens": 8192}
RANKS = [
    {"step": step, "ranks": ranks, "layers": 2, **shape}
    for step in STEPS
    for shape in (*SHAPES, MORE)
    for ranks in ((1, 2, 4) if shape == SHAPES[0] else (2,))
]
RUNS = [{"step": "study", "runs": runs} for runs in (10, 100, 1000)]


def measure(**cell: Any) -> dict[str, float]:
    command = [sys.executable, __file__, json.dumps(cell)]
    if "ranks" in cell:
        launch = ["-m", "torch.distributed.run", "--standalone"]
        command[1:1] = [*launch, "--nproc-per-node", str(cell["ranks"])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def shared(step: str, ranks: int, layers: int, width: int, tokens: int) -> dict[str, float] | None:
    """A step that processes share, as the one sees it that needs most; told by the first."""
    import torch

    from prunus import ranks as processes

    torch.set_num_threads(1)
    work = scale.pruned(step, layers, width, tokens)
    with processes.together("cpu"):
        assert processes.world() == ranks
        sent = counted()
        own = scale.spent(work) | {"sent": round(sum(sent) / 2**20, 2)}
        every = [json.loads(one) for one in processes.gathered(json.dumps(own).encode())]
        return {key: max(one[key] for one in every) for key in own} if processes.first() else None


def counted() -> list[int]:
    """Grows by the bytes of every tensor that is handed to a collective operation."""
    import torch.distributed as dist

    sent: list[int] = []

    def counting(name: str, place: int) -> None:
        own = getattr(dist, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            sent.append(args[place].numel() * args[place].element_size())
            return own(*args, **kwargs)

        setattr(dist, name, call)

    for name, place in (("all_reduce", 0), ("broadcast", 0), ("all_gather", 1)):
        counting(name, place)
    return sent


def study(runs: int) -> dict[str, float]:
    """A study of finished rows; they are copies of one run's report under recipes of their own."""
    import yaml

    from prunus.recipe._parts import parts, resolved
    from prunus.recipe.run import run
    from prunus.safe import RECIPE
    from prunus.study import _run, read_sheet
    from prunus.study._result import read_results
    from tests.recipes.dense import recipe

    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "sheet.csv", Path(folder) / "out"
        base = recipe(Path(folder), latency=None, evaluation={"baselines": False})
        lines = [f"row-{n},{base},{n}" for n in range(runs)]
        path.write_text("\n".join(["name,recipe,seed", *lines]))
        sheet = list(read_sheet(path))
        first = out / sheet[0].name
        run(sheet[0].recipe, first, quiet=True)
        for row in sheet[1:]:
            shutil.copytree(first, out / row.name, ignore=shutil.ignore_patterns("model"))
            said = resolved(row.recipe, parts(row.recipe))
            (out / row.name / RECIPE).write_text(yaml.safe_dump(said, sort_keys=False))
        again = scale.spent(lambda: _run.study(sheet, out, quiet=True))
        known = {one.name: one for one in read_results(out)}
        assert len(known) == runs
        event = scale.spent(lambda: _run._written(sheet, out, {}, known))
        return again | {"event": event["seconds"]}


def table() -> None:
    found = rows("scale_apart")
    print("| Step | Processes | Width | Tokens | Processor seconds | MiB more | MiB sent |")
    print("|---|---|---|---|---|---|---|")
    for row in (row for row in found if "ranks" in row["cell"]):
        cell = row["cell"]
        shape = f"{cell['ranks']} | {cell['width']:,} | {cell['tokens']:,}"
        print(f"| {cell['step']} | {shape} | {row['seconds']} | {row['mib']:,} | {row['sent']} |")
    print("\n| Rows | Processor seconds to begin again | for each that ends | MiB more |")
    print("|---|---|---|---|")
    for row in (row for row in found if "runs" in row["cell"]):
        print(f"| {row['cell']['runs']:,} | {row['seconds']} | {row['event']} | {row['mib']:,} |")


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        table()
    elif len(sys.argv) > 1:
        own = json.loads(sys.argv[1])
        made = study(own["runs"]) if "runs" in own else shared(**own)
        if made is not None:
            print(json.dumps(made))
    else:
        fill("scale_apart", RANKS + RUNS, measure)
