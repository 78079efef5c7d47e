"""neural-compressor's example ``run_glue_no_trainer.py``, with its flags."""

import sys
from collections.abc import Sequence
from typing import Any

from prunus.compat._command import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Fine-tune a GLUE model; with ``--do_prune`` all linear layers but the pooler are pruned."""
    return run("run_glue_no_trainer", arguments, _pruners)


def _pruners(flags: Any) -> list[dict[str, Any]]:
    return [
        {
            "pruning_type": flags.pruning_type,
            "pattern": flags.pruning_pattern,
            "pruning_scope": "global",
            "sparsity_decay_type": "exp",
            "excluded_op_names": ["pooler"],
            "pruning_op_types": ["Linear"],
            "max_sparsity_ratio_per_op": 0.98,
        }
    ]


if __name__ == "__main__":
    sys.exit(main())
