"""What a model was composed of, for its report."""

from prunus.drive._composed import Composed
from prunus.report._library import Library, Module

SHOWN = ("pruned", "closed", "tuned", "loss", "history")
"""Figures of a module that a report has room for."""


def library(found: Composed | None) -> Library | None:
    """The library as a run left it; None where it had none."""
    if found is None:
        return None
    filled = found.filled
    return Library(
        folder=str(found.folder),
        configurations=found.configurations,
        pick=found.pick,
        modules=len(filled.modules),
        used=len(found.used),
        reused=len(filled.reused),
        tuned=len(filled.tuned),
        redone=len(filled.redone),
        seconds=filled.seconds,
        cpu=filled.cpu,
        notes=found.notes,
        rows=tuple(_row(found, name) for name in filled.modules),
    )


def _row(found: Composed, name: str) -> Module:
    own = found.filled.modules[name]
    figures = {key: own.figures[key] for key in SHOWN if key in own.figures}
    if name in found.losses:
        figures["loss"] = found.losses[name]
    return Module(
        site=own.site,
        kind=own.kind,
        density=own.density,
        reused=name in found.filled.reused,
        used=name in found.used,
        **figures,
    )
