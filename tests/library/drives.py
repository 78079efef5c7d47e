"""Tiny models composed of libraries of tiny modules."""

import torch

from prunus.anatomy import anatomy
from prunus.drive import finish, job_of
from prunus.registry import build
from tests.tiny import batch_of, tiny

CLOSED = ("least_squares",)
TUNED = ("least_squares", {"name": "modulewise", "epochs": 2, "learning_rate": 0.01})
PAIR = {"heads": [0.5, 0.25], "neurons": [0.5, 0.75]}


def data(model, count=4, size=3):
    """A few random batches."""
    return [batch_of(model, size, seed=seed) for seed in range(count)]


def job(model=None, sites=("heads", "neurons"), batches=None, density=1.0, **said):
    """A job over a tiny model; of a family where it is a name."""
    model = tiny(model or "bert") if model is None or isinstance(model, str) else model
    budget = said.pop("budget", {"density": density, "metric": "units"})
    given = {"score": "magnitude", "budget": budget, "recover": (), **said}
    parts = anatomy(model).chosen([sites] if isinstance(sites, str | dict) else list(sites))
    return job_of(model, parts, data(model) if batches is None else batches, **given)


def drive(folder, configurations=None, **said):
    """The drive, over a library in a folder."""
    named = {} if configurations is None else {"configurations": configurations}
    return build("drive", {"name": "library", "folder": str(folder), **named, **said})


def compose(own, folder, configurations=None, **said):
    """(composed model, what of) of a job."""
    plan = drive(folder, configurations, **said).run(own)
    return finish(own, plan), own.composed, plan


def same(one, other):
    """Whether two models have the same tensors, bit for bit."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a
    )
