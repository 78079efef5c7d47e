"""The command that sets runs side by side."""

from pathlib import Path

from prunus.cli._print import say, waiting


def compare(
    run: Path,
    /,
    *others: Path,
    out: Path = Path("comparison.html"),
    max_loss: str | None = None,
    speedup: float | None = None,
    max_bytes: str | None = None,
) -> None:
    """Set runs side by side, in a table and on a page, and mark the one that gives what is asked.

    Where a loss alone is bounded, that is the run with the fewest FLOPs, else the one with the best
    quality.

    Args:
        run: the --out folder of prunus run, or of prunus study run (every row).
        others: further ones.
        out: the page to write.
        max_loss: what may be lost against the dense model: 1pt.
        speedup: how many times as fast as the dense model it shall be, as measured.
        max_bytes: how large its weights may be: 50MB.
    """
    with waiting("reading the runs"):
        from prunus.study._asked import asked
        from prunus.study._table import table
        from prunus.study.compare import compare as set_beside
        from prunus.study.compare import found, write

        bounds = asked(max_loss=max_loss, speedup=speedup, max_bytes=max_bytes)
        comparison = set_beside([run, *others], bounds)
        write(comparison, out)
    say(table(comparison.results, comparison.marked), *found(comparison), f"page: {out}")
