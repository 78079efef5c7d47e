"""What the answers lose as one site's units go and all else stays: a table that was measured."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, JsonValue, ValidationError

from prunus.errors import PrunusError
from prunus.formats import Format
from prunus.registry import Part

FORMAT = Format("table of sensitivities")
Count = Annotated[int, Field(ge=0)]


class _Value(Part):
    model_config = ConfigDict(allow_inf_nan=False)


class Measurement(_Value):
    """A site with fewer units, everything else dense.

    Attributes:
        units: how many stay.
        density: the fraction of the site's units that stays.
        loss: divergence of the answers from the dense model's, in nats, of a sample on average.
        stderr: standard error of ``loss``.
        quality: the task's metric, in percent, where it was asked for.
        asked: the densities that were asked for and come to so many units.
    """

    units: Count
    density: Annotated[float, Field(ge=0, lt=1)]
    loss: float
    stderr: float
    quality: float | None = None
    asked: tuple[float, ...] = ()


class SiteCurve(_Value):
    """What was measured of a site.

    Attributes:
        site: its name.
        kind: of the site.
        units: how many it has.
        points: at most one for each number of units, the most units first.
    """

    site: str
    kind: str
    units: Count
    points: tuple[Measurement, ...] = ()


class Sensitivity(_Value):
    """Every site of a model by itself (Li et al., arXiv 1608.08710, figure 2).

    Attributes:
        format: of the file.
        model: what the model is called.
        weights: hash of what it computes.
        task: what it does.
        score: the criterion by whose scores units went, the lowest first.
        split: where losses were measured.
        samples: on how many of its examples.
        metric: what ``quality`` is a value of; None where it was not asked for.
        dense: the dense model's value, in percent.
        seconds: of measuring, all calls together.
        complete: whether every point that was asked for was measured.
        sites: in the order of the model.
    """

    format: int = FORMAT.version
    model: str
    weights: str
    task: str
    score: dict[str, JsonValue]
    split: str
    samples: Count
    metric: str | None = None
    dense: float | None = None
    seconds: float
    complete: bool
    sites: tuple[SiteCurve, ...]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A table from the disk: the file, or the folder that it lies in.

        Raises:
            PrunusError: there is none, or it does not hold what a table holds.
        """
        path = Path(path).expanduser()
        path = path / "sensitivity.json" if path.is_dir() else path
        if not path.is_file():
            raise PrunusError(f"{path} is not there; `prunus sensitivity` writes it")
        try:
            return cls.model_validate(FORMAT.read(path))
        except ValidationError as error:
            raise PrunusError(f"{path} is no table of sensitivities: {error}") from None

    def of(self, name: str, kind: str, units: int) -> SiteCurve:
        """What was measured of a site.

        Raises:
            PrunusError: nothing, or of a site with other units.
        """
        found = next((own for own in self.sites if own.site == name), None)
        if found is None or not found.points:
            known = ", ".join(own.site for own in self.sites[:3])
            raise PrunusError(
                f"site {name!r}: the table of sensitivities has no measurement of it (it has"
                f" {known} ...); measure with the same sites, and with more minutes"
            )
        if (found.kind, found.units) != (kind, units):
            raise PrunusError(
                f"site {name!r} has {units} units of kind {kind!r}; the table of sensitivities was"
                f" measured where it has {found.units} of kind {found.kind!r}: measure this model"
            )
        return found

    def require(self, score: dict[str, Any], weights: str) -> None:
        """Check that the table speaks of a model whose units go in a criterion's order.

        Raises:
            PrunusError: it does not.
        """
        if self.weights != weights:
            raise PrunusError(
                f"the table of sensitivities was measured on other weights ({self.model}): measure"
                " this model"
            )
        if self.score != score:
            raise PrunusError(
                f"the table of sensitivities is of units in the order of score: {self.score}, but"
                f" this recipe has score: {score}; use the same, or measure again"
            )
