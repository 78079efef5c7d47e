"""Commands that two processes carry out together, in one go.

``python -m torch.distributed.run --nproc-per-node 2 -m tests.distributed.runs FOLDER`` writes what
:data:`COMMANDS` write into the folder, and ``codes.RANK.json``.
"""

import json
import sys
from pathlib import Path

import torch

from prunus import ranks
from prunus.cli import main as command

LIBRARY = [
    "drive.name=library",
    "drive.densities=[.5]",
    "score=magnitude",
    "recover=[least_squares]",
]
DRAWN = "task.splits={train: 16, calibration: 16, validation: 20, development: 8}"
COMMANDS = {
    "plain": ["run", "recipe.yaml", "compare=[random]", "--out", "OUT"],
    "searched": [
        "run", "recipe.yaml", DRAWN, "select.name=measured",
        "select.minutes=.5", "score=fisher", "drive=sweep", "recover=[]", "--out", "OUT",
    ],
    "tuned": ["library", "tune", "recipe.yaml", *LIBRARY, "drive.folder=OUT"],
    "sensitive": [
        "sensitivity", "recipe.yaml", DRAWN, "--minutes", ".5", "--out", "OUT",
    ],
    "evaluated": ["eval", "dense", "--recipe", "recipe.yaml"],
}  # fmt: skip
"""{name: arguments}; files go to a folder of the name."""


def said(name: str, folder: Path) -> list[str]:
    """The arguments of a command whose result lies in a folder."""
    return [word.replace("OUT", str(folder / name)) for word in COMMANDS[name]]


def main(folder: str) -> None:
    """Carry every command out."""
    torch.set_num_threads(1)
    place = Path(folder)
    with ranks.together("cpu"):
        codes = {name: command(said(name, place)) for name in COMMANDS}
        (place / f"codes.{ranks.rank()}.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    main(sys.argv[1])
