"""Checkpoints written anew in another form, and what opens each form."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import transformers

from prunus.checkpoint import FILE, load, save, transformer_of
from prunus.checkpoint._sentences import MODULES
from prunus.files import write_bytes
from prunus.foreign import config_of
from prunus.recipe._open import FILES, WEIGHTS, folder_of, require_checkpoint
from prunus.report._card import CARD, reopened
from prunus.task._network import hushed

WHERE = "path/to/this/folder"
KEPT = ("utf-8", "surrogateescape")
"""A card of others may be written in anything, and stays as it is."""
PROCESSORS = {
    "tokenizer_config.json": "AutoTokenizer",
    "preprocessor_config.json": "AutoImageProcessor",
}


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
    require_checkpoint(folder)
    with hushed():
        model = load(folder, dtype="auto")
        save(model, out, Beside(folder), portable=portable, packed=packed)
    if (Path(out) / CARD).is_file():
        text = (Path(out) / CARD).read_bytes().decode(*KEPT)
        write_bytes(Path(out) / CARD, reopened(text, opening(Path(out))).encode(*KEPT))
    return opener(Path(out))


def opener(folder: Path) -> str:
    """What opens a checkpoint, in words."""
    if (folder / FILE).exists():
        return "transformers with trust_remote_code=True, or prunus"
    config = config_of(folder)
    if "prunus" not in config:
        return "plain transformers"
    unpacks = ", which unpacks its weights" if "packed" in config["prunus"] else ""
    return f"prunus (import prunus, then from_pretrained){unpacks}"


def opening(folder: Path) -> str:
    """What opens a checkpoint, in Python."""
    config = config_of(folder)
    stock = (config.get("architectures") or [""])[0]
    if (folder / MODULES).is_file():
        lines = ["import prunus"] * ("prunus" in config)
        lines += ["from sentence_transformers import SentenceTransformer", ""]
        return "\n".join([*lines, f"model = SentenceTransformer({WHERE!r})"])
    if (folder / FILE).exists():
        auto = next(reversed(config["auto_map"]))
        called, imported = f"{auto}.from_pretrained({WHERE!r}, trust_remote_code=True)", auto
    elif "prunus" in config or not hasattr(transformers, stock):
        called, imported = f"prunus.load({WHERE!r})", ""
    else:
        called, imported = f"{stock}.from_pretrained({WHERE!r})", stock
    return _code(called, imported, folder)


def _code(called: str, imported: str, folder: Path) -> str:
    """The lines that open a model, and what makes its inputs."""
    beside = next((cls for file, cls in PROCESSORS.items() if (folder / file).is_file()), "")
    names = sorted(filter(None, (imported, beside)))
    return "\n".join((
        *(["import prunus"] if not imported else []),
        *([f"from transformers import {', '.join(names)}"] if names else []),
        "",
        f"model = {called}",
        *([f"processor = {beside}.from_pretrained({WHERE!r})"] if beside else []),
    ))  # fmt: skip


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
        owners = {self.folder, transformer_of(self.folder)}
        for path in (
            path for pattern in (*FILES, WEIGHTS) for path in sorted(self.folder.rglob(pattern))
        ):
            copy = fresh / path.relative_to(self.folder)
            weights = path.parent in owners and ".safetensors" in path.name
            out = any(path.match(name) for name in self.but)
            if not (weights or out or copy.exists()):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
