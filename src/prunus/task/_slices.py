"""Which rows make which split: whole splits of the source, or rows drawn from its training split.

The draw of all that a model learns from or is judged on is fixed. A run's seed moves only the
calibration rows: else a model trained under one seed would be tested on its own training rows
under another.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from prunus.errors import PrunusError, unknown

SplitName = Literal["train", "calibration", "development", "validation"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
CALIBRATION = 1024
Rows = dict[str, tuple[str, Tensor]]


def draw(sizes: Mapping[str, int], wanted: Mapping[SplitName, str | int], seed: int) -> Rows:
    """The rows of every split: its source split and ``[row]`` numbers in it.

    A name is a whole split of the source, a count is that many rows of its training split (or of
    its only split). Drawn splits share no row, and a training split given by name leaves out what
    was drawn for development and validation. Calibration rows come from what is left then: with a
    named training split from its rows, as they do where nothing is left.

    Args:
        sizes: rows of each split of the source.
        wanted: a source split or a count for some of ``SPLITS``. The others are the source's
            splits of that name; without one, up to 1024 calibration rows are drawn.
        seed: draws the calibration rows.

    Raises:
        PrunusError: the source has no split of that name, or too few rows.
    """
    found = {name: name for name in SPLITS if name in sizes} | dict(wanted)
    named = {ours: theirs for ours, theirs in found.items() if isinstance(theirs, str)}
    counts = {ours: count for ours, count in found.items() if isinstance(count, int)}
    if not found:
        raise PrunusError(f"the source's splits are {', '.join(sizes)}: say which in `splits`")
    for theirs in named.values():
        if theirs not in sizes:
            mend = "A count in `splits` draws rows from the training split."
            raise unknown("split", theirs, sizes, mend)
    rows = {ours: (theirs, torch.arange(sizes[theirs])) for ours, theirs in named.items()}
    pool = _pool(sizes, named)
    if pool is None and counts:
        raise PrunusError(f"splits: no training split to draw {', '.join(counts)} from")
    if pool is None:
        return rows
    drawn = _drawn(sizes[pool], counts, seed, "train" in named)
    return {name: (pool, drawn[name]) for name in drawn} | {
        name: rows[name] for name in rows if name != "train"
    }


def _pool(sizes: Mapping[str, int], named: Mapping[str, str]) -> str | None:
    """The source split that counts are drawn from."""
    if "train" in named or "train" in sizes:
        return named.get("train", "train")
    only = next(iter(sizes))
    return only if len(sizes) == 1 and only not in named.values() else None


def _drawn(size: int, counts: Mapping[str, int], seed: int, whole: bool) -> dict[str, Tensor]:
    """Rows of the pool; those to be tested on are drawn first, so that no other count moves them.

    Args:
        size: rows of the pool.
        counts: how many to draw.
        seed: draws the calibration rows.
        whole: training takes all that the tests leave.
    """
    left = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    drawn = {}
    for name in ("validation", "development", "train"):
        if name in counts:
            drawn[name], left = _take(left, counts[name], name)
    if whole:
        drawn["train"] = left.sort().values
    among = left if len(left) else drawn.get("train", left)
    mixed = among[torch.randperm(len(among), generator=torch.Generator().manual_seed(seed))]
    count = counts.get("calibration", min(CALIBRATION, len(mixed)))
    return drawn | {"calibration": _take(mixed, count, "calibration")[0]}


def _take(rows: Tensor, count: int, name: str) -> tuple[Tensor, Tensor]:
    if count > len(rows):
        raise PrunusError(
            f"splits: {name} asks for {count} rows, but the training split has {len(rows)} left"
        )
    return rows[:count], rows[count:]
