"""Runs side by side: what each one lost and won, and which gives what is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunus import notation
from prunus.errors import PrunusError
from prunus.files import write_bytes
from prunus.report import _units as show
from prunus.report._heat import heats
from prunus.study._columns import NAMED, columns, others, told
from prunus.study._figures import trainings
from prunus.study._gathered import Gathered, gather
from prunus.study._html import Detail, Sheet, html
from prunus.study._result import Result, result_of
from prunus.study._wanted import Wanted as Wanted
from prunus.study._wanted import grouped

SETTINGS = "What the recipes say differently; a blank setting is one that the recipe does not have."


@dataclass(frozen=True)
class Comparison:
    """Some runs, and what was asked of them.

    Attributes:
        runs: with their reports.
        results: of each, in the same order; its columns are the settings of its recipe.
        wanted: the bounds.
    """

    runs: tuple[Gathered, ...]
    results: tuple[Result, ...]
    wanted: Wanted

    @property
    def best(self) -> dict[str, Result | None]:
        """The run to take, for every task and metric; nothing where nothing was asked for."""
        groups = grouped(self.results) if self.wanted else {}
        return {name: self.wanted.best(own) for name, own in groups.items()}

    @property
    def marked(self) -> frozenset[str]:
        """The names of those."""
        return frozenset(one.name for one in self.best.values() if one is not None)


def compare(places: Sequence[Path], wanted: Wanted | None = None) -> Comparison:
    """Read runs, to be set side by side.

    Args:
        places: folders of runs, or of studies, of which every row is a run.
        wanted: what is asked of them.

    Raises:
        PrunusError: a folder holds no run that was measured.
    """
    runs = gather(places)
    results = []
    for own in runs:
        if own.report is None:
            raise PrunusError(
                f"{own.name} is a fine-tuning: nothing was pruned in it. Give folders of `prunus"
                " run` or `prunus study run`; `prunus plot` draws trainings"
            )
        results.append(result_of(own.name, own.report, columns=_flat(own.report.recipe)))
    return Comparison(tuple(runs), tuple(results), wanted or Wanted())


def found(comparison: Comparison) -> list[str]:
    """Which run gives what was asked for, a sentence for every task and metric."""
    several = len(comparison.best) > 1
    return [
        (f"{group}: " if several else "") + f"{comparison.wanted}: {_taken(comparison, best)}."
        for group, best in comparison.best.items()
    ]


def _taken(comparison: Comparison, best: Result | None) -> str:
    if best is None:
        return "no run gives that"
    value = f"{show.points(best.pruned)}, {show.signed(best.change)} points"
    return f"{best.name} has {comparison.wanted.why()} ({value})"


def page(comparison: Comparison) -> str:
    """The comparison as a page of one file, which opens offline."""
    results = comparison.results
    sheets = [
        Sheet("Results", told(results), columns(results)),
        Sheet("Settings", SETTINGS, [NAMED, *others(results)]),
    ]
    reports = {own.name: own.report for own in comparison.runs if own.report}
    detail = Detail(
        comparison.wanted,
        comparison.marked,
        found(comparison),
        tuple(trainings(comparison.runs).values()),
        {name: own.sensitivity for name, own in reports.items() if own.sensitivity},
        {name: heats(own.kept) for name, own in reports.items()},
    )
    return html("Runs side by side", results, sheets, detail=detail)


def write(comparison: Comparison, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_bytes(path, page(comparison).encode())


def _flat(said: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_settings(said))


def _settings(said: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted keys; what is no number and no text is YAML."""
    for key, value in said.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{above}{key}.")
        elif value is not None:
            plain = isinstance(value, int | float | str) and not isinstance(value, bool)
            yield f"{above}{key}", value if plain else notation.line(value)
