"""Which sites a library can be made of: those that are tuned apart from each other."""

from prunus.anatomy import Anatomy
from prunus.errors import PrunusError


def whole(sites: Anatomy) -> list[str]:
    """What there is to say of sites of which nothing can go."""
    names = [name for name, site in sites.items() if site.run == 1]
    return [f"nothing to prune, a single unit: {', '.join(names)}"] if names else []


def require_separate(sites: Anatomy) -> None:
    """Check that every site has one reader, and weights that no other site has."""
    owners: dict[str, str] = {}
    for name, site in sites.items():
        if site.kind == "sublayers" or not (site.has_inlet or site.in_linear):
            raise PrunusError(
                f"site {name!r} of kind {site.kind!r} is no module by itself: it must have several"
                " units, which nothing but one linear layer reads; a library is made of heads,"
                " queries, neurons, or grids in linear layers"
            )
        for tensor in {part.tensor for part in site.slices}:
            other = owners.setdefault(tensor, name)
            if other != name:
                raise PrunusError(
                    f"sites {other!r} and {name!r} share {tensor}, so that they cannot be tuned"
                    " apart; narrow the sites"
                )
