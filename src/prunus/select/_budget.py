"""How much may stay: a budget, and rules that treat some sites in their own way."""

import re
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

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


class Budget(Part):
    """What may stay.

    Attributes:
        density: the fraction of the cost that stays, 0 < density <= 1.
        metric: what is counted: units, params, or flops of one sample.
        of: fraction of what the sites cost (``sites``) or of the whole model (``model``).
        scope: one pool of all units (``global``), or each site by itself (``local``): every site
            then keeps that fraction of its units, which cost alike in any metric.
        floor: least fraction of each site's units that stays.
        ceiling: greatest fraction of each site's units that stays.
        rules: exceptions; a site that two rules match is an error, and so is a rule that
            matches nothing.
    """

    density: Density
    metric: Literal["units", "params", "flops"] = "flops"
    of: Literal["sites", "model"] = "sites"
    scope: Literal["global", "local"] = "global"
    floor: Share = 0.0
    ceiling: Density = 1.0
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _meant(self) -> Self:
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
