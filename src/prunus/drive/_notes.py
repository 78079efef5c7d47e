"""What became of a reader: noted as it is mended, and done again as it was noted."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from prunus import ranks
from prunus.recover import Reader, Repair


@dataclass
class Notes:
    """What repairs did to one reader.

    Passes that go through the student see what they saw when it was mended first: everything is
    written where, and as late as, repairs wrote it, so that the end is the same to the last bit.

    Attributes:
        done: what they did before, which is done again; None lets them mend.
        found: what they did, by name.
    """

    done: dict[str, Tensor] | None = None
    found: dict[str, Tensor] = field(default_factory=dict)

    def mend(self, at: str, reader: Reader, repairs: Iterable[Repair]) -> None:
        """Mend a reader where it waits, the same on every rank to the last bit."""
        if self.done is None:
            for repair in repairs:
                repair.mend(reader)
            ranks.spread([reader.stays, *reader.parameters])
            written = {f"{at}/{place}": own for place, own in enumerate(reader.parameters)}
            self.found |= {name: own.detach().clone() for name, own in written.items()}
            self.found[f"{at}/stays"] = reader.stays
            return
        reader.stays = self.done[f"{at}/stays"].to(reader.stays.device)
        with torch.no_grad():
            for place, own in enumerate(reader.parameters):
                own.copy_(self.done[f"{at}/{place}"])
