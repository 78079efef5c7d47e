"""The page of a study: a table that sorts, and what quality costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from prunus.report import _units as show
from prunus.report._page import page, sorting
from prunus.study import _pareto
from prunus.study._result import Result


def html(
    name: str,
    results: Sequence[Result],
    columns: Sequence[Any],
    failed: Mapping[str, str],
    waiting: Sequence[str],
) -> str:
    """A page that opens offline, light or dark, on a phone and on paper.

    Its one script, which sorts the table, is inside; the page allows no other.

    Args:
        name: of the study.
        results: of finished rows.
        columns: see :func:`prunus.study._table.columns`.
        failed: by name, why a row is not.
        waiting: rows whose turn has not come.
    """
    return page(
        "prunus.study",
        name=name,
        results=results,
        columns=columns,
        plots=_pareto.plots(results),
        failed=failed,
        waiting=waiting,
        spent=show.duration(sum(one.seconds for one in results)),
        **sorting(),
    )
