"""Run in a fresh process: opens saved models with Auto classes and compares what they answer.

``python reopen.py ORDER FOLDER``: ORDER is prunus or transformers, which is then imported first; or
plain, when prunus cannot be imported at all; or portable, when in addition the file beside the
weights is trusted, and each model is saved again and opened from there. FOLDER holds one folder a
case: the checkpoint, inputs, the answers expected, and the Auto classes to try. Prints a line of
JSON for each.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import load_file

ORDERS = {
    "plain": ("transformers",),
    "portable": ("transformers",),
    "prunus": ("prunus", "transformers"),
    "transformers": ("transformers", "prunus"),
}


def answer(case: Path, auto: str, trusted: bool) -> dict[str, object]:
    """What became of opening one checkpoint with one Auto class."""
    opener = getattr(import_module("transformers"), auto)
    try:
        model = opener.from_pretrained(case / "model", trust_remote_code=trusted)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    equal = same(model, case)
    if trusted:
        model.save_pretrained(case / "again")
        again = opener.from_pretrained(case / "again", trust_remote_code=True)
        equal = equal and same(again, case) and type(again).__name__ == type(model).__name__
    return {"class": type(model).__name__, "equal": equal}


def same(model: torch.nn.Module, case: Path) -> bool:
    """Whether a model answers what was expected, bit for bit."""
    inputs, expected = load_file(case / "inputs.st"), load_file(case / "answers.st")
    inputs = {key: tensor.clone() for key, tensor in inputs.items()}  # as aligned as they were
    with torch.no_grad():
        out = model.eval()(**inputs)
    return all(torch.equal(out[key], value) for key, value in expected.items())


def main(order: str, folder: str) -> None:
    """Open everything."""
    torch.set_num_threads(1)
    if order in ("plain", "portable"):
        sys.modules["prunus"] = None  # type: ignore[assignment]
    for name in ORDERS[order]:
        import_module(name)
    for case in sorted(Path(folder).iterdir()):
        for auto in (case / "autos.txt").read_text().split():
            found = answer(case, auto, trusted=order == "portable")
            print(json.dumps({"case": case.name, "auto": auto, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
