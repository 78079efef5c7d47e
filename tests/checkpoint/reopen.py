"""Run in a fresh process: opens saved models with Auto classes and compares what they answer.

``python reopen.py ORDER FOLDER``: ORDER is prunus or transformers, which is then imported first,
or plain, when prunus cannot be imported at all. FOLDER holds one folder a case: the checkpoint,
inputs, the answers expected, and the Auto classes to try. Prints a line of JSON for each.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import load_file

ORDERS = {
    "plain": ("transformers",),
    "prunus": ("prunus", "transformers"),
    "transformers": ("transformers", "prunus"),
}


def answer(case: Path, auto: str) -> dict[str, object]:
    """What became of opening one checkpoint with one Auto class."""
    inputs, expected = load_file(case / "inputs.st"), load_file(case / "answers.st")
    inputs = {key: tensor.clone() for key, tensor in inputs.items()}  # as aligned as they were
    opener = getattr(import_module("transformers"), auto)
    try:
        model = opener.from_pretrained(case / "model").eval()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    with torch.no_grad():
        out = model(**inputs)
    equal = all(torch.equal(out[key], value) for key, value in expected.items())
    return {"class": type(model).__name__, "equal": equal}


def main(order: str, folder: str) -> None:
    """Open everything."""
    torch.set_num_threads(1)
    if order == "plain":
        sys.modules["prunus"] = None  # type: ignore[assignment]
    for name in ORDERS[order]:
        import_module(name)
    for case in sorted(Path(folder).iterdir()):
        for auto in (case / "autos.txt").read_text().split():
            print(json.dumps({"case": case.name, "auto": auto, **answer(case, auto)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
