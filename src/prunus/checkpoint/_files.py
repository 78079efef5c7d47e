"""The seal beside a checkpoint: hashes of its tensor files, so that damage is seen."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.formats import Format
from prunus.notation import read_json

SEAL = "prunus.json"
FORMAT = Format("seal of a checkpoint")


def require_ours(folder: Path, mark: str, fault: str) -> None:
    """Raise where a folder, which is replaced as a whole, holds anything else.

    Args:
        folder: what will be written.
        mark: the file that says that it may be replaced.
        fault: what is wrong without one.

    Raises:
        PrunusError: the folder is neither empty nor ours.
    """
    empty = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not empty and not (folder / mark).is_file():
        raise PrunusError(f"{folder} exists and {fault}; name another folder")


def seal(folder: Path) -> None:
    """Write the hashes of every tensor file in a checkpoint's folder."""
    tensors = {path.name: _hash(path) for path in sorted(folder.glob("*.safetensors"))}
    data = {"format": FORMAT.version, "prunus": version("prunus"), "sha256": tensors}
    write_bytes(folder / SEAL, json.dumps(data, indent=1).encode())


def verify(folder: Path) -> None:
    """Raise unless the tensor files are those that were sealed; no seal is no fault.

    Raises:
        PrunusError: a file is missing, truncated or changed.
    """
    if not (folder / SEAL).exists():
        return
    try:
        sealed = dict(FORMAT.current(read_json(folder / SEAL))["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise PrunusError(f"{folder / SEAL}: not readable ({error})") from None
    for name, expected in sealed.items():
        path = folder / Path(name).name
        if not path.exists():
            raise PrunusError(f"{path} is missing: the checkpoint is incomplete")
        if _hash(path) != expected:
            raise PrunusError(
                f"{path} is not the file that was saved: truncated, damaged or changed since."
                f" Save the model again, or delete {SEAL} if the change was meant"
            )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
