"""What became of the rows of a sheet, beside what is published of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from prunus.errors import PrunusError
from prunus.formats import Format
from prunus.notation import read_json
from prunus.registry import Part
from prunus.report import Report, read
from prunus.report._rows import examples, headline, timed
from prunus.report._value import Count
from prunus.study._row import Published, Row

REPORT = "report.json"
RESULTS = "study.json"
FORMAT = Format("table of results", 2, {1: dict})
"""Of format 1, a bare list, it had no version."""
UNPUBLISHED = Published()


class Result(Part):
    """A finished row.

    Attributes:
        name: the row's.
        task: what was done, in words.
        metric: what ``dense`` and ``pruned`` are values of, in percent.
        examples: how many examples of which split they are measured on.
        dense: of the dense model.
        pruned: of the pruned model.
        density: of what the recipe lets go, the fraction that stays, in the budget's metric.
        ratio: the fraction removed, as neural-compressor counts it; None where no weight is zero.
        params: parameters of the pruned model.
        trained: parameters that were trained, where any were.
        flops: of one sequence or sample, of the pruned model.
        bytes: of its weights.
        margin: half the width of the 95 % interval of ``change``, where that was measured.
        speedup: as measured last in the first of the recipe's runtimes; None where it asks for
            none.
        timed: what that was measured with: runtime, size of a call, threads, clock.
        seconds: of the whole run.
        columns: what the sheet says of the row.
        published: what others say.
        recipe: what was run.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    name: str
    task: str
    metric: str
    examples: str | None = None
    dense: float
    pruned: float
    density: float
    ratio: float | None
    params: Count
    trained: Count | None
    flops: Count
    bytes: Count | None = None
    margin: float | None = None
    speedup: float | None
    timed: str | None = None
    seconds: float
    columns: dict[str, JsonValue] = Field(default_factory=dict)
    published: Published
    recipe: dict[str, JsonValue]

    @property
    def change(self) -> float:
        """Points of the metric that were won, below 0 where some were lost."""
        return self.pruned - self.dense

    @property
    def drop(self) -> float:
        """The change in percent of the dense value, below 0 where it fell."""
        return 100 * (self.pruned / self.dense - 1) if self.dense else 0.0


def result(row: Row, folder: Path) -> Result:
    """What a finished run found.

    Raises:
        PrunusError: its report lacks the metric that is published.
    """
    return result_of(row.name, read(folder), row.published, row.columns)


def result_of(
    name: str,
    report: Report,
    published: Published = UNPUBLISHED,
    columns: Mapping[str, Any] | None = None,
) -> Result:
    """What a report says, beside what is published.

    Raises:
        PrunusError: the report lacks the metric that is published.
    """
    metric, dense, pruned = _quality(report, published.metric)
    last = headline(report.latency_ms)
    return Result(
        name=name,
        task=report.task,
        metric=metric,
        examples=examples(report),
        dense=dense,
        pruned=pruned,
        density=report.density.of_sites,
        ratio=report.zeros.neural_compressor if report.zeros else None,
        params=report.params.pruned,
        trained=report.trained,
        flops=report.flops.pruned,
        bytes=report.bytes.pruned,
        margin=report.quality.margin if metric == report.quality.metric else None,
        speedup=last and last.speedup,
        timed=last and timed(last),
        seconds=report.seconds.total,
        columns=dict(columns or {}),
        published=published,
        recipe=report.recipe,
    )


def saved(results: tuple[Result, ...]) -> dict[str, Any]:
    """Results as JSON says them."""
    told = [one.model_dump(mode="json") | {"drop": one.drop} for one in results]
    return {"format": FORMAT.version, "results": told}


def read_results(folder: Path) -> tuple[Result, ...]:
    """The results of a study.

    Raises:
        PrunusError: the folder holds none.
    """
    path = folder / RESULTS
    if not path.is_file():
        raise PrunusError(f"{path} is not there; give the --out folder of `prunus study run`")
    said = read_json(path)
    try:
        said = FORMAT.current({"format": 1, "results": said} if isinstance(said, list) else said)
        every = TypeAdapter(list[dict[str, Any]]).validate_python(said.get("results"))
        return tuple(Result.model_validate(_stored(one)) for one in every)
    except PrunusError as error:
        raise PrunusError(f"{path} is not of a study: {error}") from None
    except ValidationError as error:
        raise PrunusError(f"{path} is not of a study: {error}") from None


def _stored(said: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key != "drop"}


def _quality(report: Report, metric: str | None) -> tuple[str, float, float]:
    quality = report.quality
    if metric in (None, quality.metric):
        return quality.metric, quality.dense or 0.0, quality.pruned or 0.0
    others = report.model_dump().get("metrics", {})
    if metric not in others:
        known = ", ".join([quality.metric, *others])
        raise PrunusError(f"published.metric: the report knows {known}, not {metric}")
    return str(metric), others[metric]["dense"], others[metric]["pruned"]
