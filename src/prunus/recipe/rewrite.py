"""Checkpoints written anew in another form, and what opens each form."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from prunus.checkpoint import FILE, load, save
from prunus.recipe._open import FILES, folder_of
from prunus.task._network import hushed


def rewrite(checkpoint: str, out: str | Path, portable: bool = False, packed: bool = False) -> str:
    """Write a checkpoint anew, with what lies beside it: tokenizer, processor, pooling.

    Args:
        checkpoint: a folder (of a run, too), ``package:module/folder``, or a hub id; dense or
            pruned, in any form.
        out: the folder to write; a checkpoint there is replaced.
        portable: let transformers alone open it, with ``trust_remote_code=True``.
        packed: leave zero blocks of weights out of the file.

    Returns:
        What opens it.

    Raises:
        PrunusError: the checkpoint is broken, ``out`` holds something else, or there is nothing to
            pack.
    """
    folder = folder_of(checkpoint)
    with hushed():
        model = load(folder, dtype="auto")
        save(model, out, Beside(folder), portable=portable, packed=packed)
    return opener(Path(out))


def opener(folder: Path) -> str:
    """What opens a checkpoint, in words."""
    if (folder / FILE).exists():
        return "transformers with trust_remote_code=True, or prunus"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "prunus" not in config:
        return "plain transformers"
    unpacks = ", which unpacks its weights" if "packed" in config["prunus"] else ""
    return f"prunus (import prunus, then from_pretrained){unpacks}"


@dataclass(frozen=True)
class Beside:
    """The files of a checkpoint that its model does not write.

    Attributes:
        folder: of the checkpoint.
        but: patterns of names that are left out.
    """

    folder: Path
    but: tuple[str, ...] = ()

    def save_pretrained(self, fresh: Path) -> None:
        """Copy them, subfolders too."""
        for path in (path for pattern in FILES for path in sorted(self.folder.rglob(pattern))):
            copy = fresh / path.relative_to(self.folder)
            weights = path.parent == self.folder and ".safetensors" in path.name
            out = any(path.match(name) for name in self.but)
            if not (weights or out or copy.exists()):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
