"""What became of the rows of a sheet, beside what is published of them."""

from pathlib import Path

from pydantic import JsonValue

from prunus.errors import PrunusError
from prunus.registry import Part
from prunus.report import Report
from prunus.study._row import Published, Row

REPORT = "report.json"


class Result(Part):
    """A finished row.

    Attributes:
        name: the row's.
        metric: what ``dense`` and ``pruned`` are values of, in percent.
        dense: of the dense model.
        pruned: of the pruned model.
        density: of what the recipe lets go, the fraction that stays, in the budget's metric.
        ratio: the fraction removed, as neural-compressor counts it; None where no weight is zero.
        seconds: of the whole run.
        published: what others say.
        recipe: what was run.
    """

    name: str
    metric: str
    dense: float
    pruned: float
    density: float
    ratio: float | None
    seconds: float
    published: Published
    recipe: dict[str, JsonValue]

    @property
    def drop(self) -> float:
        """The change in percent of the dense value, below 0 where it fell."""
        return 100 * (self.pruned / self.dense - 1) if self.dense else 0.0


def result(row: Row, folder: Path) -> Result:
    """What a finished run found.

    Raises:
        PrunusError: its report lacks the metric that is published.
    """
    report = Report.model_validate_json((folder / REPORT).read_text(encoding="utf-8"))
    metric, dense, pruned = _quality(report, row.published.metric)
    return Result(
        name=row.name,
        metric=metric,
        dense=dense,
        pruned=pruned,
        density=report.density.of_sites,
        ratio=report.zeros.neural_compressor if report.zeros else None,
        seconds=report.seconds.total,
        published=row.published,
        recipe=report.recipe,
    )


def _quality(report: Report, metric: str | None) -> tuple[str, float, float]:
    quality = report.quality
    if metric in (None, quality.metric):
        return quality.metric, quality.dense or 0.0, quality.pruned or 0.0
    others = report.model_dump().get("metrics", {})
    if metric not in others:
        known = ", ".join([quality.metric, *others])
        raise PrunusError(f"published.metric: the report knows {known}, not {metric}")
    return str(metric), others[metric]["dense"], others[metric]["pruned"]
