"""The contract of a repair."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from prunus.errors import PrunusError
from prunus.gram import Moments
from prunus.probe import Evidence
from prunus.registry import Part
from prunus.site import Site


@dataclass
class Reader:
    """One reader of the student, everything before it mended, waiting to be mended itself.

    Attributes:
        student: the model that is mended in place.
        site: a site that the reader reads, as the student has it now.
        stays: [inputs] which inputs of the reader stay, or [*grid] which of its weights; a repair
            may choose others, equally many.
        moments: of the reader's input and of what its output should be; at "entry", of what the
            sublayer reads in the student and in the teacher; at "weights", of the input alone.
        evidence: what scoring saw here in the dense model.
        alone: whether no other site is read here.
        lowest: whether no reader comes before it.
    """

    student: nn.Module
    site: Site
    stays: Tensor
    moments: Moments
    evidence: Evidence | None = None
    alone: bool = True
    lowest: bool = False

    @property
    def weight(self) -> Tensor:
        """[inputs, outputs] a view of the reader's weight, to be written to."""
        part = self.site.inlet
        return self.student.get_parameter(part.tensor).detach().movedim(self.site.input_axis, 0)

    @property
    def bias(self) -> Tensor | None:
        """[outputs] the reader's bias, to be written to."""
        bias = getattr(self.student.get_submodule(self.site.reader), "bias", None)
        return bias.detach() if isinstance(bias, Tensor) else None

    @property
    def parameters(self) -> list[Tensor]:
        """What a repair may write to: those of the reader, and of what puts its units out."""
        modules = map(self.student.get_submodule, [self.site.reader, *self.site.producers])
        return [parameter for module in modules for parameter in module.parameters()]

    @property
    def tile(self) -> int:
        """Inputs of one unit."""
        return len(self.stays) // self.site.units

    @property
    def units(self) -> Tensor:
        """[units] which units stay.

        Raises:
            PrunusError: several sites are read here, so that units are not one site's.
        """
        if not self.alone:
            raise PrunusError(
                f"{self.site.reader} is read by several sites: a repair cannot choose between"
                " their units; name one kind of site (heads or sublayers, neurons)"
            )
        return self.stays.reshape(-1, self.tile).any(1)

    def keep(self, units: Tensor) -> None:
        """Let other units stay: a [units] mask."""
        self.stays = units.repeat_interleave(self.tile)


class Repair(Part):
    """Mends a student in place, one reader at a time, in the order of the forward pass.

    Attributes:
        reads: statistics that it wants of the scoring pass.
        at: whether it mends the reader, what the sublayer makes of its own input ("entry"), or a
            linear layer whose single weights go ("weights"), or a whole sublayer apart from the
            others ("module").
    """

    reads: ClassVar[tuple[str, ...]] = ()
    at: ClassVar[Literal["reader", "entry", "weights", "module"]] = "reader"

    def pool(self, kept: int, units: int) -> int:
        """How many units of a site must be there for it to choose ``kept`` of ``units`` from."""
        del units
        return kept

    def mend(self, reader: Reader) -> None:
        """Mend one reader."""
        raise NotImplementedError


def mask_of(units: Tensor, count: int) -> Tensor:
    """[count] True at the given indices."""
    mask = torch.zeros(count, dtype=torch.bool)
    mask[units.cpu()] = True
    return mask
