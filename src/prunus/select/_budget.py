"""How much may stay: a budget, and rules that treat some sites in their own way."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from prunus.errors import PrunusError
from prunus.registry import Part, Pattern, named
from prunus.select._amounts import Points, Size

Density = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Scope = Annotated[
    Literal["global", "local", "row"],
    BeforeValidator(lambda value: "local" if value == "uniform" else value),
]
"""Where units compete: in all sites, within their site, or within one output of a grid."""


def _step(value: Any) -> Any:
    if isinstance(value, str) and value != "auto" and not value.isdecimal():
        raise PrunusError(f"a whole number, a number for each kind of site, or auto; got {value!r}")
    return value


Steps = Annotated[PositiveInt | dict[str, PositiveInt] | Literal["auto"], BeforeValidator(_step)]
"""Of what the counts that stay are multiples."""
AMOUNTS = {"density": "0.5", "speedup": "2", "max_bytes": "50MB", "max_loss": "1pt"}
"""Words that say how much may stay, with an example of each."""


class Rule(Part):
    """Sites whose name matches are treated in their own way.

    Attributes:
        match: regular expression, searched in the site's name.
        density: a budget of their own; without it they share the general one.
        scope: how their own budget is spread; needs ``density``.
        floor: least fraction of the units of each of these sites that stays.
        ceiling: greatest fraction.
        score: a criterion of their own; needs ``density`` and drive: gradual, like ``schedule``.
        schedule: a schedule of their own.
    """

    match: Pattern
    density: Density | None = None
    scope: Scope | None = None
    floor: Share | None = None
    ceiling: Density | None = None
    score: Annotated[dict[str, Any] | None, named("score")] = None
    schedule: Annotated[dict[str, Any] | None, named("schedule")] = None

    @model_validator(mode="after")
    def _scoped(self) -> Self:
        own = [key for key in ("scope", "score", "schedule") if getattr(self, key) is not None]
        if own and self.density is None:
            raise PrunusError(
                f"{' and '.join(own)} of a rule's own needs a budget of its own: give it a density"
            )
        return self


class At(Part):
    """The call whose latency is meant.

    Attributes:
        batch: samples in a call.
        length: tokens of each, where the model reads text.
        threads: how many threads torch computes with.
    """

    batch: PositiveInt = 8
    length: PositiveInt = 128
    threads: PositiveInt = 1


class Budget(Part):
    """What may stay; say one of ``density``, ``speedup``, ``max_bytes`` and ``max_loss``.

    Attributes:
        density: the fraction of the cost that stays, 0 < density <= 1.
        speedup: how many times cheaper the whole model shall be: a density of 1 / speedup, of:
            model; for the metrics flops and latency.
        max_bytes: how large the saved weights may be: 50MB, 48MiB, or bytes. The density of the
            whole model's parameters that this comes to is known once there is a model.
        max_loss: how many points of its metric the model may lose, 1pt; a search finds the density.
        metric: what is counted: units, weights that are not zero, params, flops of one sample, or
            latency on this machine.
        at: the call whose latency is meant; for metric latency only.
        of: fraction of what the sites cost (``sites``) or of the whole model (``model``).
        scope: one pool of all units (``global``), each site by itself (``local``, or ``uniform``):
            every site then keeps that fraction of its units, which cost alike in any metric; or
            each output of a grid by itself (``row``), which keeps as many rounded down.
        floor: least fraction of each site's units that stays.
        ceiling: greatest fraction of each site's units that stays.
        round_to: counts that stay are multiples of it, or of what it has in common with the count
            of a site that is no multiple: hardware works in runs of 8 or 16 channels. A mapping
            says it by kind of site, ``{channels: 16}``; ``auto`` measures it on this machine.
        rules: exceptions; a site that two rules match is an error, and so is a rule that
            matches nothing.
    """

    density: Density
    speedup: Annotated[float, Field(ge=1)] | None = None
    max_bytes: Size | None = None
    max_loss: Points | None = None
    metric: Literal["units", "weights", "params", "flops", "latency"] = "flops"
    at: At | None = None
    of: Literal["sites", "model"] = "sites"
    scope: Scope = "global"
    floor: Share = 0.0
    ceiling: Density = 1.0
    round_to: Steps = 1
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _said(cls, settings: Any) -> Any:
        """What follows from other settings: the density of a speed-up, the call of a latency.

        A density that is not known yet is 1 until then, see :meth:`settled`.
        """
        if not isinstance(settings, Mapping):
            return settings
        found = dict(settings)
        given = [key for key in AMOUNTS if found.get(key) is not None]
        if len(given) != 1 and found.keys() <= cls.model_fields.keys():
            words = ", ".join(f"{word} ({example})" for word, example in AMOUNTS.items())
            got = f"; got {' and '.join(given)}" if given else ""
            raise PrunusError(f"say how much may stay by one of {words}{got}")
        if given == ["speedup"]:
            found = {"of": "model", **found, "density": 1 / _factor(found["speedup"])}
        if given == ["max_bytes"]:
            found = {"of": "model", "metric": "params", **found, "density": 1.0}
        if given == ["max_loss"]:
            found["density"] = 1.0
        if found.get("metric") == "latency":
            found["at"] = found.get("at") or At()
        return found

    @model_serializer(mode="wrap")
    def _told(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Other amounts are told as such, so that what is written can be read again."""
        found = dump(self)
        if not self.known or self.speedup is not None:
            del found["density"]
        return found

    @model_validator(mode="after")
    def _meant(self) -> Self:
        if self.speedup is not None and self.metric not in ("flops", "latency"):
            raise PrunusError(
                f"speedup is one of metric: flops or latency, not of {self.metric}; use density"
            )
        if self.speedup is not None and self.of != "model":
            raise PrunusError("speedup is one of the whole model; use density with of: sites")
        if self.max_bytes is not None and (self.metric, self.of) != ("params", "model"):
            raise PrunusError(
                "max_bytes counts the parameters of the whole model: leave out metric and of (got"
                f" metric: {self.metric}, of: {self.of})"
            )
        if self.at is not None and self.metric != "latency":
            raise PrunusError(f"at says which latency is meant, but the metric is {self.metric}")
        if self.scope != "global" and self.of == "model":
            raise PrunusError(
                f"scope: {self.scope} cuts every site by itself: of: model needs scope: global"
            )
        return self

    @property
    def known(self) -> bool:
        """Whether the density is known: not before a model, or a search, has said it."""
        return self.max_bytes is None and self.max_loss is None

    def require_known(self) -> None:
        """Check that the density is known.

        Raises:
            PrunusError: it is yet to be found.
        """
        if self.max_loss is not None:
            raise PrunusError(
                "max_loss: how much may stay is found by measuring quality, which needs a task: use"
                " `prunus run`, or give a density"
            )
        if self.max_bytes is not None:
            raise PrunusError(
                "max_bytes: the density depends on the model; prunus.drive.sized gives it"
            )
        if self.round_to == "auto":
            raise PrunusError(
                "round_to: auto depends on the model; prunus.measure.alignment measures it"
            )

    def step(self, kind: str) -> int:
        """Of what the counts of a kind of sites are multiples."""
        assert self.round_to != "auto"
        return self.round_to.get(kind, 1) if isinstance(self.round_to, dict) else self.round_to

    def settled(self, density: float) -> Self:
        """The budget with the density that was found for it."""
        return self.model_copy(update={"density": density, "max_bytes": None, "max_loss": None})

    def assign(self, names: Iterable[str]) -> dict[str, Rule | None]:
        """The rule of every site, or None.

        Raises:
            PrunusError: a rule matches no site, or two rules match one.
        """
        names = list(names)
        found: dict[str, Rule | None] = dict.fromkeys(names)
        for rule in self.rules:
            matched = [name for name in names if re.search(rule.match, name)]
            if not matched:
                raise PrunusError(
                    f"budget rule {rule.match!r} matches no site; sites are called like"
                    f" {names[0]!r} (see `prunus check` for all)"
                )
            for name in matched:
                if (other := found[name]) is not None:
                    raise PrunusError(
                        f"site {name!r} is matched by two budget rules: {other.match!r} and"
                        f" {rule.match!r}; narrow one of them"
                    )
                found[name] = rule
        return found


def _factor(speedup: Any) -> float:
    """A speed-up as a number; 1 where it is none that may be, of which the field's check tells."""
    try:
        return max(float(speedup), 1.0)
    except (TypeError, ValueError):
        return 1.0
