"""Where reporters write unless the environment says otherwise: below a folder, and nowhere else."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from prunus.errors import PrunusError

SILENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
}
"""What keeps reporters from the network, and from talking on the terminal."""


def require(names: Sequence[str]) -> None:
    """Check that reporters are installed.

    Raises:
        PrunusError: one is not.
    """
    lacking = [name for name in names if find_spec(name) is None]
    if lacking:
        raise PrunusError(
            f"track: {', '.join(lacking)} is not installed: pip install 'prunus[track]', or leave"
            " it out"
        )


@contextmanager
def at_home(folder: Path) -> Iterator[None]:
    """Files of all reporters below ``folder`` while the block runs, but for what is set already."""
    said = SILENT | {
        "TENSORBOARD_LOGGING_DIR": str(folder / "tensorboard"),
        "WANDB_DIR": str(folder),
    }
    if "MLFLOW_TRACKING_URI" not in os.environ:
        said["MLFLOW_TRACKING_URI"] = (folder / "mlflow").absolute().as_uri()
        said["MLFLOW_ALLOW_FILE_STORE"] = "true"  # databases need more than mlflow-skinny
    own = {key: value for key, value in said.items() if key not in os.environ}
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(own)
    try:
        yield
    finally:
        for key in own:
            os.environ.pop(key, None)
