"""From a model to its sites: ``anatomy(model).of("heads").under("encoder.layer.3")``."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from prunus.anatomy._family import Family
from prunus.anatomy._grid import grids
from prunus.anatomy._outlets import with_outlets
from prunus.anatomy._refused import REFUSED
from prunus.anatomy._riding import riding
from prunus.anatomy._stack import sites_of
from prunus.anatomy._tensors import Tensors
from prunus.anatomy._trace.example import image_for, sees_images, shown_to
from prunus.errors import PrunusError, unknown
from prunus.registry import listed, load
from prunus.site import Site
from prunus.tiling import Grid, Tiling

TRACED = Family(stacks=(), channels=(), empty=nn.Module)
"""What is known of a network that is not written down."""

__all__ = ["Anatomy", "Family", "anatomy", "families", "family_of", "known", "plain"]


class Anatomy(Mapping[str, Site]):
    """The sites of a model in the order of its forward pass, with the shapes of its tensors."""

    def __init__(
        self,
        sites: Mapping[str, Site],
        tensors: Tensors,
        family: Family,
        example: Mapping[str, Any] | None = None,
        fixed: Mapping[str, str] | None = None,
    ) -> None:
        """Keep ``sites`` of the model whose ``tensors`` these are.

        Where they were traced, ``example`` is what the model was shown, and ``fixed`` says why the
        outputs of some modules cannot leave.
        """
        self._sites, self.tensors, self.family = dict(sites), tensors, family
        self.example, self.fixed = example, dict(fixed or {})

    def __getitem__(self, name: str) -> Site:
        """The site called ``name``."""
        return self._sites[name]

    def __iter__(self) -> Iterator[str]:
        """Names in forward order."""
        return iter(self._sites)

    def __len__(self) -> int:
        """How many sites."""
        return len(self._sites)

    def __or__(self, other: Mapping[str, Site]) -> "Anatomy":
        """The sites of both."""
        return self._with({**self._sites, **other})

    def of(self, *kinds: str) -> "Anatomy":
        """The sites of the named kinds.

        Raises:
            PrunusError: the model has no site of a kind.
        """
        known = {site.kind for site in self.values()}
        for kind in kinds:
            if kind not in known:
                raise unknown("site kind", kind, known, self._untold())
        return self._with({n: s for n, s in self.items() if s.kind in kinds})

    def read(self, model: nn.Module) -> "Anatomy":
        """The sites of a model of the same kind, read in the same way: of a smaller copy."""
        return anatomy(model, self.example)

    def under(self, prefix: str) -> "Anatomy":
        """The sites below a module: ``encoder.layer.3`` (and not ``encoder.layer.30``)."""
        found = {n: s for n, s in self.items() if re.match(rf"{re.escape(prefix)}([.:]|$)", n)}
        if not found:
            raise PrunusError(
                f"no site lies under {prefix!r}; sites are called like {next(iter(self))!r}"
            )
        return self._with(found)

    def only(self, names: Iterable[str]) -> "Anatomy":
        """The sites with these names."""
        return self._with({name: self[name] for name in names})

    def grid(self, match: str, tiling: Any, **settings: Any) -> "Anatomy":
        """Weight matrices as grids of blocks.

        Args:
            match: regular expression that the whole module name must match (``.*query``).
            tiling: ``"4x1"``, ``(32, 32)``, ``"channelx1"``, ``"2:4"``: what is one unit, see
                :meth:`prunus.tiling.Tiling.parse`.
            **settings: see :func:`prunus.anatomy._grid.grids`.

        Raises:
            PrunusError: nothing matches, or a matched weight is not divided by the blocks.
        """
        found = grids(self.tensors, Tiling.parse(tiling), match, **settings)
        return self._with({site.name: site for site in found})

    def chosen(self, sites: Any) -> "Anatomy":
        """The sites that people choose.

        Args:
            sites: kinds (``heads``), and grids: ``{grid: 4x1, match: .*query}``, the settings of
                :class:`prunus.tiling.Grid`; one, or several of them.

        Raises:
            PrunusError: the model lacks a kind, a grid matches nothing or does not divide a weight,
                or two grids share one.
        """
        every = list(listed(sites))
        found = self.of(*(kind for kind in every if isinstance(kind, str)))
        for own in [Grid.of(spec) for spec in every if not isinstance(spec, str)]:
            more = self.grid(
                own.match, own.grid, types=own.types, indivisible=own.indivisible, head=own.head
            )
            if shared := sorted(more.keys() & found.keys()):
                raise PrunusError(f"sites: two grids share {shared[0]!r}; narrow their `match`")
            found = found | more
        return found

    @property
    def spared(self) -> list[str]:
        """The modules of the network's head that no grid takes, though other weights are grids."""
        grids = {site.reader for site in self.values() if site.kind == "grid"}
        return sorted(self.tensors.head - grids) if grids else []

    def _untold(self) -> str:
        """Why modules of a traced network have no sites."""
        told = [f"{module} ({why})" for module, why in self.fixed.items()]
        return f"Outputs that always stay: {', '.join(told[:5])}." if told else ""

    def _with(self, sites: Mapping[str, Site]) -> "Anatomy":
        return Anatomy(sites, self.tensors, self.family, self.example, self.fixed)


def anatomy(model: nn.Module, example: Mapping[str, Any] | None = None) -> Anatomy:
    """The sites of a model.

    A family that is written down gives heads, neurons and more; any other module is traced: one
    forward pass shows which channels can only leave together.

    Args:
        model: a transformers model, or any torch module.
        example: keyword arguments of a forward pass, where the model is to be traced; None makes
            them for models of transformers that see images.

    Raises:
        PrunusError: the family is unknown (the known ones are told) and there is no example; or
            channels go through an operation that cannot be followed.
    """
    tensors, written = Tensors.of(model), known(model)
    family = TRACED if example is not None and not written else family_of(model)
    if family is not TRACED:
        sites = sites_of(model, family, tensors)
        found = riding((with_outlets(model, site) for site in sites.values()), model)
        return Anatomy(found, tensors, family)
    shown = image_for(model) if example is None else shown_to(model, example)
    from prunus.anatomy._trace import traced  # imports scipy

    channels, fixed = traced(model, shown)
    return Anatomy(riding(channels, model), tensors, TRACED, shown, fixed)


def plain(model: nn.Module) -> Anatomy:
    """An anatomy of no sites yet, of any torch module: its weights can be taken as grids."""
    return Anatomy({}, Tensors.of(model), TRACED)


def known(model: nn.Module) -> bool:
    """Whether a model is of a family that is written down."""
    try:
        return family_of(model) is not TRACED
    except PrunusError:
        return False


def families() -> list[str]:
    """The families that are known: the ``model_type`` of their configuration, - written as _."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def family_of(model: nn.Module) -> Family:
    """The family of a model; of transformers' models that see images, one that is traced.

    Raises:
        PrunusError: the model has no configuration, its family is unknown, or one whose form does
            not allow pruning.
    """
    config: Any = getattr(model, "config", None)
    kind = getattr(config, "model_type", None)
    if kind is None:
        raise PrunusError(
            f"{type(model).__name__} has no config.model_type; known: {families()}; any torch"
            " module can be traced, if it is shown an example"
        )
    name = str(kind).removeprefix("prunus_").replace("-", "_")
    if name in REFUSED:
        raise PrunusError(f"{type(model).__name__} cannot be pruned: {REFUSED[name]}")
    if name not in families():
        if sees_images(model):
            return TRACED
        mend = "To add one, write src/prunus/anatomy/<model_type>.py: docs/how-to/add-a-family.md."
        raise unknown("model family", name, families(), mend)
    family: Family = load("anatomy", name).FAMILY
    return family if family.configured is None else family.configured(family, config)
