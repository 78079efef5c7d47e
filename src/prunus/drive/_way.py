"""A budget on the way to what shall stay in the end."""

from typing import Annotated, TypeVar

from pydantic import BeforeValidator, PlainSerializer

from prunus.registry import build, spelt
from prunus.schedule import Schedule
from prunus.select import Budget, Rule

Falling = Annotated[
    Schedule, BeforeValidator(lambda spec: build("schedule", spec)), PlainSerializer(spelt)
]
"""A schedule, by its name or settings."""
Bounds = TypeVar("Bounds", Budget, Rule)


def on(budget: Budget, schedule: Schedule, way: float) -> Budget:
    """The budget at a fraction of the way; ceilings are as near to their ends as it is.

    Args:
        budget: of the end, its density known.
        schedule: how the density falls.
        way: from 0 to 1.
    """
    rules = tuple(
        _bounds(rule, rule.density or budget.density, schedule, way) for rule in budget.rules
    )
    own = _bounds(budget, budget.density, schedule, way)
    return own.settled(own.density).model_copy(update={"rules": rules})


def _bounds(bounds: Bounds, final: float, schedule: Schedule, way: float) -> Bounds:
    """A density and a ceiling on the way to where they shall be when ``final`` stays."""
    now = max(final, schedule.density(way, final))
    gone = (1 - now) / (1 - final) if final < 1 else way
    ceiling = bounds.ceiling and max(bounds.ceiling, 1 - (1 - bounds.ceiling) * gone)
    return bounds.model_copy(update={"density": bounds.density and now, "ceiling": ceiling})
