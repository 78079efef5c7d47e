"""The page of many runs: what quality costs, tables that sort, what stayed in each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prunus.report import _sensitivity
from prunus.report import _units as show
from prunus.report._heat import Heat
from prunus.report._page import page, sorting
from prunus.report._picture import Picture
from prunus.sensitivity import Sensitivity
from prunus.study import _pareto
from prunus.study._columns import Column
from prunus.study._result import Result
from prunus.study._wanted import Wanted


@dataclass(frozen=True)
class Sheet:
    """A table: its title, what stands over it, its columns, that of the name first."""

    title: str
    told: str
    columns: Sequence[Column]


@dataclass(frozen=True)
class Detail:
    """What runs that lie together show beside their results.

    Attributes:
        wanted: what was asked of them.
        marked: names of the runs that give it best.
        found: that in words, a sentence for every task and metric.
        trainings: their losses and qualities while they trained.
        sensitivities: what sites lose alone, of the runs that measured it, by their names.
        heats: what stayed in every run, by its name.
    """

    wanted: Wanted = field(default_factory=Wanted)
    marked: frozenset[str] = frozenset()
    found: Sequence[str] = ()
    trainings: Sequence[Picture] = ()
    sensitivities: Mapping[str, Sensitivity] = field(default_factory=dict)
    heats: Mapping[str, Sequence[Heat]] = field(default_factory=dict)


def html(
    name: str,
    results: Sequence[Result],
    sheets: Sequence[Sheet],
    failed: Mapping[str, str] | None = None,
    waiting: Sequence[str] = (),
    detail: Detail | None = None,
) -> str:
    """A page that opens offline, light or dark, on a phone and on paper.

    Its one script, which sorts tables, is inside; the page allows no other.

    Args:
        name: of the study, or of what is compared.
        results: of finished runs.
        sheets: the tables of them.
        failed: by name, why a run is not finished.
        waiting: runs whose turn has not come.
        detail: what else is known.
    """
    detail = detail or Detail()
    return page(
        "prunus.study",
        name=name,
        results=results,
        sheets=[own for own in sheets if results and len(own.columns) > 1],
        plots=_pareto.plots(results, detail.wanted),
        detail=detail,
        sensitivity=_sensitivity,
        failed=failed or {},
        waiting=waiting,
        spent=show.duration(sum(one.seconds for one in results)),
        **sorting(),
    )
