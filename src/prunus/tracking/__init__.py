"""How a run goes, told to TensorBoard, MLflow or Weights & Biases by transformers' reporters.

Whoever has something to tell calls :func:`tell`, as one calls a logger: it is heard where a tracker
is open (:func:`tracked`), and costs nothing where none is. Nothing of it decides anything.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prunus import ranks
from prunus.tracking._events import Values, chosen, scored
from prunus.tracking._home import at_home, require

__all__ = ["Values", "chosen", "heard", "require", "scored", "tell", "tracked"]

_listener: ContextVar[Callable[[Values, int | None], None] | None] = ContextVar("listener")


def heard() -> bool:
    """Whether anybody listens."""
    return _listener.get(None) is not None


def tell(values: Callable[[], Values], step: int | None = None) -> None:
    """Tell what happened.

    Args:
        values: gives the numbers; asked only where somebody listens.
        step: of the optimizer, in the training that goes on; None where none does.
    """
    listener = _listener.get(None)
    if listener is not None:
        listener(values(), step)


@contextmanager
def tracked(
    names: Sequence[str], folder: str | Path, name: str, settings: Mapping[str, Any]
) -> Iterator[None]:
    """Report everything that is told in the block; of several processes the first one reports.

    What the environment says of a reporter is followed (``MLFLOW_TRACKING_URI``, ``WANDB_MODE``,
    ``WANDB_DIR``, ``TENSORBOARD_LOGGING_DIR`` ...). Where it says nothing, files below ``folder``
    are written, and nothing is sent anywhere.

    Args:
        names: tensorboard, mlflow, wandb; () reports nothing.
        folder: where files go.
        name: of the run.
        settings: of the run, which reporters keep with it.

    Raises:
        PrunusError: a reporter's package is not installed.
    """
    require(names)
    if not names or not ranks.first():
        yield
        return
    from prunus.tracking._tracker import Tracker  # transformers takes seconds to import

    with at_home(Path(folder)):
        tracker = Tracker(names, Path(folder), name, settings)
        token = _listener.set(tracker.log)
        try:
            yield
        finally:
            _listener.reset(token)
            tracker.close()
