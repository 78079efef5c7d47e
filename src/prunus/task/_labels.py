"""From a label column to class indices or numbers, checked against the model's head."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from datasets import ClassLabel
from torch import Tensor

from prunus.errors import PrunusError, unknown

Columns = Mapping[str, list[Any]]


def require_values(values: Columns, column: str, nothing: tuple[object, ...] = (None,)) -> None:
    """Check that every split has rows, and every row a value.

    Args:
        values: one column of each split.
        column: its name.
        nothing: what does not count as a value.

    Raises:
        PrunusError: a split is empty, or a row holds nothing.
    """
    for split, rows in values.items():
        if not rows:
            raise PrunusError(f"the split {split!r} is empty: give `splits` or data with rows")
        missing = next((row for row, value in enumerate(rows) if value in nothing), None)
        if missing is not None:
            raise PrunusError(f"{split}: column {column!r} holds nothing in its row {missing}")


def numbers(values: Columns, column: str, head: int | None) -> dict[str, Tensor]:
    """The targets of a regression, ``[example]`` float32 for each split.

    Raises:
        PrunusError: a label is no number, or the head has more than one output.
    """
    if head not in (None, 1):
        raise PrunusError(f"a regression needs a head of 1 output, the model's has {head}")
    try:
        found = {split: torch.tensor([float(v) for v in rows]) for split, rows in values.items()}
    except (TypeError, ValueError) as error:
        raise PrunusError(f"regression: column {column!r} must hold numbers: {error}") from None
    for split, labels in found.items():
        if not labels.isfinite().all():
            raise PrunusError(f"regression: column {column!r} ({split}) holds nan or infinity")
    return found


def class_names(
    values: Columns, feature: object, column: str, given: Sequence[str | int] = ()
) -> list[str]:
    """The classes in order: as given, as the data names them, or as its values say.

    Whole numbers are class indices themselves, so that a small file that lacks a class keeps the
    meaning of the others; anything else is sorted by name.

    Raises:
        PrunusError: a label is a fraction.
    """
    if given:
        return [str(name) for name in given]
    if isinstance(feature, ClassLabel):
        return list(feature.names)
    found = {_plain(value, column) for labels in values.values() for value in labels}
    whole = [value for value in found if isinstance(value, int)]
    if len(whole) == len(found):
        return [str(index) for index in range(max(whole) + 1)]
    return sorted(map(str, found))


def like_head(names: list[str], head: Sequence[str] | None) -> list[str]:
    """``names`` in the order of the model's head, where it has the same names in another one."""
    ours = {name.casefold(): name for name in names}
    theirs = [name.casefold() for name in head or ()]
    return [ours[name] for name in theirs] if sorted(theirs) == sorted(ours) else names


def class_indices(
    values: Columns, feature: object, column: str, names: Sequence[str], head: int | None
) -> dict[str, Tensor]:
    """Class indices ``[example]`` int64 of each split.

    Args:
        values: the label column of each split.
        feature: what the data says of the column; a ``ClassLabel`` names its numbers.
        column: its name.
        names: the classes in order.
        head: outputs of the model's head, None where there is no model yet.

    Raises:
        PrunusError: a label is no class, or lies outside the head.
    """
    named = feature.names if isinstance(feature, ClassLabel) else []
    stored: dict[int | str, str] = dict(enumerate(named))
    place = {name: index for index, name in enumerate(names)}
    result = {}
    for split, labels in values.items():
        plain = [_plain(label, column) for label in labels]
        called = [str(stored.get(label, label)) for label in plain]
        strange = next((name for name in called if name not in place), None)
        if strange is not None:
            raise unknown(f"label in column {column!r} ({split})", strange, names, "Set `labels`.")
        result[split] = torch.tensor([place[name] for name in called])
        _require_inside(result[split], names, head or len(names), f"{split}: column {column!r}")
    return result


def _require_inside(labels: Tensor, names: Sequence[str], head: int, where: str) -> None:
    highest = int(labels.max())
    if highest >= head:
        raise PrunusError(
            f"{where} holds the label {names[highest]!r}, class {highest}, outside the head's"
            f" {head} outputs (0 to {head - 1}). Was the model trained for another task?"
        )


def _plain(value: Any, column: str) -> int | str:
    if isinstance(value, float) and not value.is_integer():
        raise PrunusError(
            f"column {column!r} holds {value}, which is no class; numbers need `regression: true`"
        )
    return int(value) if isinstance(value, int | float) else str(value)
