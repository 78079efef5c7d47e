"""The library that a model was composed of, as report.json holds it."""

from prunus.report._value import Count, Number, Value


class Tuning(Value):
    """One look at a module while it was tuned: its relative errors, after so many epochs."""

    epoch: float
    training: Number = None
    validation: Number = None


class Module(Value):
    """One site under one mask, tuned to put out what the dense one does.

    Attributes:
        site: its name.
        kind: of the site.
        density: the fraction of its units that stays.
        pruned: squared error of what it puts out on held-out data, relative to that of the dense
            module, with nothing tuned.
        closed: the same after repairs in closed form, where there were any.
        tuned: the same in the end.
        loss: how far the dense model's answers are with this module alone exchanged.
        history: how the error fell where the module was trained.
        reused: whether it was there already.
        used: whether this model is made of it.
    """

    site: str
    kind: str
    density: float
    pruned: Number = None
    closed: Number = None
    tuned: Number = None
    loss: Number = None
    history: tuple[Tuning, ...] = ()
    reused: bool = False
    used: bool = False


class Library(Value):
    """What was tuned, and what was there already.

    Attributes:
        folder: where modules are kept.
        configurations: how many the recipe names.
        pick: which of them this model is; None where it was searched for.
        modules: distinct ones that the recipe names.
        used: how many of them this model is made of.
        reused: how many were there.
        tuned: how many were tuned now.
        redone: how many of those were there, but broken.
        seconds: of the tuning, by the clock on the wall.
        cpu: of the tuning, processor time.
        notes: what else is to be said.
        rows: the modules.
    """

    folder: str
    configurations: Count
    pick: Count | None = None
    modules: Count
    used: Count
    reused: Count
    tuned: Count
    redone: Count = 0
    seconds: float
    cpu: float
    notes: tuple[str, ...] = ()
    rows: tuple[Module, ...] = ()
