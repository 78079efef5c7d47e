"""neural-compressor's example ``run_glue_no_trainer_mixed.py``, with its flags."""

import sys
from collections.abc import Sequence
from typing import Any

from prunus.compat._command import run
from prunus.errors import PrunusError

GIVEN = {"pruning_pattern": "4x1", "pruning_type": "snip_momentum"}
COMMON = {"sparsity_decay_type": "exp", "pruning_op_types": ["Linear"]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Fine-tune a GLUE model; pruned are single weights, and 4x1 blocks of query, key and value."""
    return run("run_glue_no_trainer_mixed", arguments, _pruners)


def _pruners(flags: Any) -> list[dict[str, Any]]:
    """Two pruners.

    Raises:
        PrunusError: a pattern or a criterion is asked for, which the mixture has its own of.
    """
    for name, own in GIVEN.items():
        if getattr(flags, name) != own:
            raise PrunusError(f"--{name}: the mixture has its own; use run_glue_no_trainer")
    return [
        {
            "op_names": [".*output", ".*intermediate"],
            "pattern": "1x1",
            "pruning_scope": "local",
            **COMMON,
        },
        {
            "op_names": [".*query", ".*key", ".*value"],
            "pattern": "4x1",
            "pruning_scope": "global",
            "max_sparsity_ratio_per_op": 0.98,
            "min_sparsity_ratio_per_op": 0.5,
            **COMMON,
        },
    ]


if __name__ == "__main__":
    sys.exit(main())
