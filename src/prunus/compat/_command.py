"""How the commands of examples run: errors are told as prunus tells them."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from prunus.compat._flags import flags
from prunus.errors import PrunusError

Pruners = Callable[[Any], Sequence[dict[str, Any]]]


def run(program: str, arguments: Sequence[str] | None, pruners: Pruners) -> int:
    """Carry out a GLUE example.

    Args:
        program: the command's name.
        arguments: instead of those of the process.
        pruners: the ``pruning_configs``, from the flags.

    Returns:
        0; 2 for bad input, whose message stands on standard error.
    """
    said = flags(program, arguments)
    try:
        from prunus.compat._glue import carry_out  # torch takes seconds to import

        carry_out(said, pruners(said))
    except (PrunusError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return 0
