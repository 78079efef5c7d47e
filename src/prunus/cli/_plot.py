"""The command that draws runs beside each other."""

from pathlib import Path

from prunus.cli._print import say, waiting


def plot(
    run: Path, /, *others: Path, out: Path = Path("plots"), reach: float | None = None
) -> None:
    """Draw runs beside each other: losses, time to a quality, modules, sizes; as .svg and .csv.

    Args:
        run: the --out folder of prunus run, prunus study run (every row) or prunus train.
        others: further ones.
        out: the folder to write.
        reach: the value, of the metric where the runs were measured by it while they trained, else
            of the loss, to which the time is told; where left out, the highest of the runs' lowest
            losses.
    """
    with waiting("reading the runs"):
        from prunus.study._figures import figures, write
        from prunus.study._gathered import gather

        files = write(figures(gather([run, *others]), reach), out)
    say(*map(str, files))
