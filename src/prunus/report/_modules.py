"""The modules of a library, as pictures and as rows of a table."""

from collections.abc import Iterator, Sequence
from statistics import median

from prunus.report import _units as show
from prunus.report._curves import Series, curves
from prunus.report._levels import Level, Part, dumbbells
from prunus.report._library import Library, Module
from prunus.report._picture import Key, Picture
from prunus.report._rows import label

COLUMNS = ("density", "pruned", "closed form", "tuned", "loss alone", "")
SUMMARY = ("modules", "reused", "error pruned", "closed form", "tuned")
ERROR = "relative error of the output"
KEYS = (Key("missed", "pruned"), Key("", "repaired in closed form"), Key("strong", "tuned"))


def told(found: Library) -> str:
    """How many modules there are, what it took to get them, and which the model is made of."""
    of = "as a search chose" if found.pick is None else f"of configuration {found.pick}"
    return f"{stocked(found)} This model, {of}, is made of {found.used:,}."


def stocked(found: Library) -> str:
    """How many modules there are, and what it took to get them."""
    several = "s name" if found.configurations > 1 else " names"
    who = f"{found.configurations} configuration{several}" if found.configurations else "There are"
    broken = f" ({found.redone} of them found broken)" if found.redone else ""
    return (
        f"{who} {found.modules:,} distinct modules:"
        f" {found.reused:,} were in the library, {found.tuned:,} were tuned{broken} in"
        f" {show.duration(found.seconds)} ({show.duration(found.cpu)} of processor time)."
    )


def errors(found: Library) -> dict[str, Picture]:
    """For every kind of module the errors before and after, one module below the other."""
    return {
        kind: dumbbells(f"Errors of {label(kind)}", levels, ERROR, _keys(own))
        for kind, own in _kinds(found).items()
        if (levels := [level for one in own if (level := _level(one)).parts])
    }


def tuning(found: Library) -> dict[str, Picture]:
    """For every kind whose modules were trained, how their errors fell."""
    made = {
        kind: curves(
            f"{label(kind).capitalize()} while they were tuned", list(_curves(own)), "epochs",
            "relative error",
        )
        for kind, own in _kinds(found).items()
    }  # fmt: skip
    return {kind: own for kind, own in made.items() if own is not None}


def rows(found: Library) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """A module's site, a cell for every column, and whether this model is made of it."""
    for one in found.rows:
        numbers = (one.pruned, one.closed, one.tuned, one.loss)
        came = "reused" if one.reused else ""
        cells = (f"{one.density:.4g}", *map(show.small, numbers), came)
        yield one.site, cells, one.used


def kinds(found: Library) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(kind, a cell for every column of :data:`SUMMARY`): the medians over its modules."""
    for kind, own in _kinds(found).items():
        numbers = [[getattr(one, what) for one in own] for what in ("pruned", "closed", "tuned")]
        known = [[value for value in values if value is not None] for values in numbers]
        cells = (show.small(median(values) if values else None) for values in known)
        reused = sum(one.reused for one in own)
        yield label(kind), (f"{len(own):,}", f"{reused:,}", *cells)


def _kinds(found: Library) -> dict[str, list[Module]]:
    kinds: dict[str, list[Module]] = {}
    for one in found.rows:
        kinds.setdefault(one.kind, []).append(one)
    return kinds


def _keys(own: Sequence[Module]) -> list[Key]:
    return [key for key in KEYS if key.style or any(one.closed is not None for one in own)]


def _level(one: Module) -> Level:
    values = ("pruned", one.pruned, "missed"), ("closed form", one.closed, ""), (
        "tuned", one.tuned, "strong"
    )  # fmt: skip
    parts = [
        Part(value, style, f"{_name(one)}, {what}: {show.small(value)}")
        for what, value, style in values
        if value is not None
    ]
    return Level(_name(one), parts)


def _curves(own: Sequence[Module]) -> Iterator[Series]:
    for one in own:
        points = [(at.epoch, at.validation) for at in one.history if at.validation is not None]
        yield Series(_name(one), "line faint", points, told=False)


def _name(one: Module) -> str:
    return f"{one.site.rpartition(':')[0] or one.site} · {one.density:g}"
