"""What the mean of a quality hides, as the report holds it."""

from dataclasses import asdict
from typing import Any

from prunus.recipe._settings import Evaluation
from prunus.report import _detailed as schema
from prunus.task import Change, Prepared, Quality, calibration_error
from prunus.task._confidence import BINS


def detail(
    prepared: Prepared[Any], settings: Evaluation, dense: Quality, pruned: Quality
) -> schema.Detail:
    """Calibration, classes and changed examples of two models that answered one split.

    Args:
        prepared: the task.
        settings: which split, and how many examples are listed.
        dense: what the dense model answered.
        pruned: what the pruned model answered.
    """
    recall = _recall(prepared, dense, pruned)
    seen = {name: own.pruned for name, own in recall.items() if own.pruned is not None}
    changes = prepared.changes(settings.split, dense, pruned, settings.examples)
    return schema.Detail(
        calibration_error=_calibration(dense, pruned),
        recall=recall,
        scored_by=prepared.scored_by,
        worst_class=min(seen, key=seen.__getitem__, default=None),
        changes={
            kind: schema.Changes(n=own.n, examples=tuple(map(_change, own.examples)))
            for kind, own in changes.items()
        },
    )


def _recall(prepared: Prepared[Any], dense: Quality, pruned: Quality) -> dict[str, schema.Recall]:
    before, after = prepared.recalls(dense), prepared.recalls(pruned)
    return {
        name: schema.Recall(dense=before[name].value, pruned=own.value, n=own.n)
        for name, own in after.items()
    }


def _calibration(dense: Quality, pruned: Quality) -> schema.Calibration | None:
    before, after = calibration_error(dense), calibration_error(pruned)
    if before is None or after is None:
        return None
    return schema.Calibration(dense=before, pruned=after, bins=BINS)


def _change(change: Change) -> schema.Change:
    said = {"dense": asdict(change.dense), "pruned": asdict(change.pruned)}
    return schema.Change.model_validate({**asdict(change.asked), **said})
