"""The command line: ``prunus COMMAND``. Only what a command needs is imported, when it runs."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from prunus.cli._bench import bench
from prunus.cli._checkpoints import evaluate, fetch, save, show
from prunus.cli._compare import compare
from prunus.cli._doctor import doctor
from prunus.cli._export import export
from prunus.cli._faults import told, unheard
from prunus.cli._inc import import_inc
from prunus.cli._library import library
from prunus.cli._plot import plot
from prunus.cli._print import fail
from prunus.cli._recipes import check, copy, listing, run, train
from prunus.cli._sensitivity import sensitivity
from prunus.cli._study import study
from prunus.errors import PrunusError
from prunus.launched import Parted, processes

app = App(
    name="prunus",
    help="Prune pretrained networks: score what matters, cut the rest, measure what it bought.",
    version=version("prunus"),
    default_parameter=Parameter(negative=()),
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
for command, name in (
    (run, "run"),
    (train, "train"),
    (evaluate, "eval"),
    (bench, "bench"),
    (show, "show"),
    (save, "save"),
    (fetch, "fetch"),
    (export, "export"),
    (compare, "compare"),
    (plot, "plot"),
    (sensitivity, "sensitivity"),
    (check, "check"),
    (listing, "ls"),
    (copy, "cp"),
    (doctor, "doctor"),
    (import_inc, "import-inc"),
):
    app.command(command, name=name)
SHAREABLE = ("run", "train", "eval", "sensitivity", "library tune")
"""Commands that processes can share which torchrun or accelerate start."""
app.command(study)
app.command(library)
app.meta.suppress_keyboard_interrupt = False  # not taken over from the app


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    debug: Annotated[bool, Parameter(help="Show where in the code an error came from.")] = False,
) -> int:
    try:
        _require_shareable(tokens)
        return app(tokens, exit_on_error=False, result_action="return_value") or 0
    except (CycloptsError, BrokenPipeError):
        raise
    except Exception as error:  # here is where what nobody expected is told in a line
        if debug:
            raise
        fail(told(error), parted=isinstance(error, Parted))
        return 2


def _require_shareable(tokens: Sequence[str]) -> None:
    """Check that a command is started once, or is one that several processes can share."""
    command = " ".join(tokens[: 2 if tokens[:1] == ("library",) else 1])
    if processes() > 1 and command not in SHAREABLE:
        raise PrunusError(
            f"{command or 'prunus'} was started {processes()} times (torchrun, accelerate launch);"
            f" processes can share {', '.join(SHAREABLE)}, start all else once"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: instead of those of the process.

    Returns:
        0; 1 where ``doctor`` finds a fault; 2 for bad input, or a fault of prunus, whose message
        stands on standard error; 130 when interrupted.
    """
    try:
        with unheard():
            return app.meta(arguments, exit_on_error=False, result_action="return_value") or 0
        return 0
    except CycloptsError:
        return 2  # cyclopts has printed why
    except KeyboardInterrupt:
        fail("interrupted; nothing was left half-written", parted=False)
        return 130
