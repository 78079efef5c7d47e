"""Which models a library is for: the density of some sites in each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from prunus.drive._scheme import read
from prunus.errors import PrunusError, unknown
from prunus.probe._apart import block_of
from prunus.select._budget import Density
from prunus.site import Site

Configuration = dict[str, float]
"""{kind, name or module of sites: density}; sites that it does not name stay whole."""
CHECK = TypeAdapter(dict[str, Density])


@dataclass(frozen=True)
class Configurations:
    """Models that shall be composed.

    Attributes:
        every: each as {kind of sites, name of a site, or its module: density}.
        notes: what is to be said of the file that they were read from.
    """

    every: tuple[Configuration, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, value: Any) -> "Configurations | None":
        """From how people write them.

        Args:
            value: a list of mappings; a mapping from kinds to lists, whose n-th entries are the
                n-th configuration; or the path of a JSON file with a list, or of a scheme (see
                ``prunus library scheme``).

        Raises:
            PrunusError: it is none of these, the lists are not equally long, a density is not
                above 0 and at most 1, or a scheme does not say what it was written to say.
        """
        if value is None or isinstance(value, Configurations):
            return value
        if isinstance(value, str | Path):
            found, note = read(Path(value))
            return cls(_checked(found), note)
        return cls(_checked(zipped(value) if isinstance(value, Mapping) else value))

    def told(self) -> list[Configuration]:
        """As people write them."""
        return [dict(own) for own in self.every]

    def on(self, sites: Mapping[str, Site]) -> list[dict[str, float]]:
        """{site: density} of each, sites that stay whole left out.

        Raises:
            PrunusError: a key means no site.
        """
        return [_on(own, sites) for own in self.every]


Told = Annotated[
    Configurations | None,
    BeforeValidator(Configurations.parse),
    PlainSerializer(lambda own: own and own.told()),
]
"""Configurations, by how people write them."""


def zipped(lists: Mapping[str, Any]) -> list[Configuration]:
    """The n-th entries of all lists together.

    Raises:
        PrunusError: the lists are not equally long.
    """
    lengths = {key: len(own) if isinstance(own, Sequence) else 1 for key, own in lists.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} {count}" for key, count in lengths.items())
        raise PrunusError(
            "the n-th entries of all lists make the n-th configuration, so that"
            f" the lists must be equally long; got {told}"
        )
    columns = [own if isinstance(own, Sequence) else [own] for own in lists.values()]
    return [dict(zip(lists, row, strict=True)) for row in zip(*columns, strict=True)]


def _checked(every: Any) -> tuple[Configuration, ...]:
    if not isinstance(every, Sequence) or isinstance(every, str) or not every:
        raise PrunusError(
            "expected a list of mappings from sites to densities, such as"
            f" [{{heads: .5, neurons: .25}}]; got {every!r}"
        )
    return tuple(_density(place, own) for place, own in enumerate(every))


def _density(place: int, own: Any) -> Configuration:
    try:
        return CHECK.validate_python(own)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(step) for step in fault["loc"])
        raise PrunusError(
            f"{place}: {where}: {fault['msg']} (got {fault['input']!r}); a density"
            " is the fraction that stays, above 0 and at most 1"
        ) from None


def _on(own: Configuration, sites: Mapping[str, Site]) -> dict[str, float]:
    """What is said of a site by its name goes before what is said of its module, or kind."""
    for key in own:
        if not any(key in _names(site) for site in sites.values()):
            known = dict.fromkeys(name for site in sites.values() for name in _names(site))
            raise unknown("site, module or kind of sites", key, known)
    said = {
        name: next((own[key] for key in _names(site) if key in own), 1.0)
        for name, site in sites.items()
    }
    return {name: density for name, density in said.items() if density < 1}


def _names(site: Site) -> tuple[str, ...]:
    return site.name, site.reader, block_of(site), site.kind
