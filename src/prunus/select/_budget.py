"""How much may stay: a budget, and rules that treat some sites in their own way."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from prunus.errors import PrunusError
from prunus.registry import Part, Pattern

Density = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Rule(Part):
    """Sites whose name matches are treated in their own way.

    Attributes:
        match: regular expression, searched in the site's name.
        density: a budget of their own; without it they share the general one.
        scope: how their own budget is spread; needs ``density``.
        floor: least fraction of the units of each of these sites that stays.
        ceiling: greatest fraction.
    """

    match: Pattern
    density: Density | None = None
    scope: Literal["global", "local"] | None = None
    floor: Share | None = None
    ceiling: Density | None = None

    @model_validator(mode="after")
    def _scoped(self) -> Self:
        if self.scope is not None and self.density is None:
            raise PrunusError("scope says how the rule's own density is spread: give it a density")
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
    """What may stay; say either ``density`` or ``speedup``.

    Attributes:
        density: the fraction of the cost that stays, 0 < density <= 1.
        speedup: how many times cheaper the whole model shall be: a density of 1 / speedup, of:
            model; for the metrics flops and latency.
        metric: what is counted: units, params, flops of one sample, or latency on this machine.
        at: the call whose latency is meant; for metric latency only.
        of: fraction of what the sites cost (``sites``) or of the whole model (``model``).
        scope: one pool of all units (``global``), or each site by itself (``local``): every site
            then keeps that fraction of its units, which cost alike in any metric.
        floor: least fraction of each site's units that stays.
        ceiling: greatest fraction of each site's units that stays.
        rules: exceptions; a site that two rules match is an error, and so is a rule that
            matches nothing.
    """

    density: Density
    speedup: Annotated[float, Field(ge=1)] | None = None
    metric: Literal["units", "params", "flops", "latency"] = "flops"
    at: At | None = None
    of: Literal["sites", "model"] = "sites"
    scope: Literal["global", "local"] = "global"
    floor: Share = 0.0
    ceiling: Density = 1.0
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _said(cls, settings: Any) -> Any:
        """What follows from other settings: the density of a speed-up, the call of a latency."""
        if not isinstance(settings, Mapping):
            return settings
        found = dict(settings)
        given = [key for key in ("density", "speedup") if found.get(key) is not None]
        if len(given) != 1 and found.keys() <= cls.model_fields.keys():
            raise PrunusError("say how much may stay: either density (0.5) or speedup (2)")
        if given == ["speedup"]:
            found = {"of": "model", **found, "density": 1 / _factor(found["speedup"])}
        if found.get("metric") == "latency":
            found["at"] = found.get("at") or At()
        return found

    @model_serializer(mode="wrap")
    def _told(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A speed-up is told as one, so that what is written can be read again."""
        found = dump(self)
        if self.speedup is not None:
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
        if self.at is not None and self.metric != "latency":
            raise PrunusError(f"at says which latency is meant, but the metric is {self.metric}")
        if self.scope == "local" and self.of == "model":
            raise PrunusError(
                "scope: local cuts every site by itself: of: model needs scope: global"
            )
        return self

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
