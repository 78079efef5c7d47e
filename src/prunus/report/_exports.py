"""A run's exports: a row for each, and the same in words."""

from prunus.report import _units as show
from prunus.report._exported import Export
from prunus.report._rows import examples
from prunus.report._schema import Report

COLUMNS = ("quality", "ahead of torch", "answers differ by", "file size")


def rows(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    """(what it is and where it lies, a cell for every column) of the exports."""
    return [(named(own), _cells(own)) for own in report.exports]


def named(own: Export) -> str:
    """The exporter and the dtype."""
    return f"{own.to}, {own.dtype}"


def told(report: Report) -> str:
    """What the columns hold, in words."""
    return (
        f"The saved model in other runtimes: {report.quality.metric} on {examples(report)}, how"
        " many points that is ahead of the pruned model in torch (paired by example, with the 95 %"
        " interval), and the largest difference to its answers, relative to the largest one."
    )


def lines(report: Report) -> list[str]:
    """A line for each export that was made."""
    return [_line(report, own) for own in report.exports if own.why is None]


def _line(report: Report, own: Export) -> str:
    quality, ahead, far, size = _cells(own)
    return (
        f"{named(own)}: {report.quality.metric} {quality}, {ahead} points ahead of the model in"
        f" torch; answers differ by at most {far} of the largest; {size}"
    )


def _cells(own: Export) -> tuple[str, ...]:
    if own.why is not None:
        return (f"not made: {own.why}", *[""] * (len(COLUMNS) - 1))
    ahead = show.interval(own.ahead, own.margin)
    size = show.NONE if own.bytes is None else show.scaled(own.bytes, "B")
    return show.points(own.quality), ahead, show.small(own.difference), size
