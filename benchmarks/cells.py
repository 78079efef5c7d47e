"""Benchmarks go cell by cell: what is done is not done again, results are added, never edited."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def fill(
    table: str, cells: Iterable[dict[str, Any]], measure: Callable[..., dict[str, Any]]
) -> None:
    """Measure every cell that ``results/<table>.jsonl`` lacks and append it as one JSON line."""
    path = RESULTS / f"{table}.jsonl"
    path.parent.mkdir(exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    done = [json.loads(line)["cell"] for line in lines]
    for cell in cells:
        if cell in done:
            continue
        row = {"cell": cell, **measure(**cell)}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def rows(table: str) -> list[dict[str, Any]]:
    """Every line of a table."""
    return [json.loads(line) for line in (RESULTS / f"{table}.jsonl").read_text().splitlines()]
