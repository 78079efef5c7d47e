"""Runs from wherever they lie, to be drawn beside each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from prunus.errors import PrunusError
from prunus.report import Report, read
from prunus.report._history import History
from prunus.report._library import Library
from prunus.study._result import REPORT, RESULTS, read_results
from prunus.task._train import FORMAT

TRAINING = "training.json"
"""What `prunus train` leaves in its folder."""


@dataclass(frozen=True)
class Gathered:
    """A run.

    Attributes:
        name: of its folder, with as much of the path before it as tells it from the others.
        metric: what its qualities are values of.
        histories: its trainings, those that were looked at.
        report: None of a fine-tuning.
    """

    name: str
    metric: str
    histories: tuple[History, ...]
    report: Report | None = None

    @property
    def library(self) -> Library | None:
        """What it was composed of, if it was."""
        return self.report and self.report.library

    @property
    def tuning(self) -> float:
        """Processor seconds before its training, spent on modules."""
        return 0.0 if self.library is None else self.library.cpu


def gather(places: Sequence[Path]) -> list[Gathered]:
    """The runs in folders: of a run, of a study, of a fine-tuning.

    Raises:
        PrunusError: a folder is none of them.
    """
    folders = list(dict.fromkeys(own.resolve() for place in places for own in _folders(place)))
    return [_run(name, folder) for name, folder in zip(_names(folders), folders, strict=True)]


def _folders(place: Path) -> Iterator[Path]:
    if (place / REPORT).is_file() or (place / TRAINING).is_file():
        yield place
    elif (place / RESULTS).is_file():
        yield from (place / one.name for one in read_results(place))
    else:
        raise PrunusError(
            f"{place} holds no run: give the --out folder of `prunus run`, `prunus study run` or"
            " `prunus train`"
        )


def _names(folders: Sequence[Path]) -> list[str]:
    """The last parts of paths, as many as tell one from the other."""
    for parts in range(1, max((len(folder.parts) for folder in folders), default=0) + 1):
        names = ["/".join(folder.parts[-parts:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return []


def _run(name: str, folder: Path) -> Gathered:
    if (folder / REPORT).is_file():
        report = read(folder)
        return Gathered(name, report.quality.metric, report.histories, report)
    path = folder / TRAINING
    said = FORMAT.read(path)
    try:
        points, kept = said["history"], said["kept"]
        history = {"name": "training", "loss": said["loss"], "points": points, "kept": kept}
        found = TypeAdapter(tuple[History, ...]).validate_python([history] if points else [])
        return Gathered(name, (said["quality"] or {}).get("metric", "quality"), found)
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise PrunusError(f"{path} is not of a training with looks at it: {error}") from None
