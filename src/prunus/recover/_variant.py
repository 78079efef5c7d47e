"""One sublayer under one mask, apart from its model: mended, trained, measured."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from prunus.anatomy import Anatomy
from prunus.edit import partly
from prunus.edit.shrink import cut
from prunus.gram import Moments
from prunus.plan import Plan
from prunus.probe import Evidence
from prunus.probe._apart import Call, block_of
from prunus.recover._repair import Reader, Repair
from prunus.site import Site


class Variant:
    """A sublayer of a dense model, without the units that a mask removes.

    Attributes:
        site: its units, in the dense model.
        mask: [*grid] what stays; repairs may choose other units, equally many.
        parameters: {name in the model: parameter} of its own, as the mask leaves them.
    """

    def __init__(
        self,
        model: nn.Module,
        sites: Anatomy,
        site: Site,
        mask: Tensor,
        *,
        repairs: Iterable[Repair] = (),
        seen: Moments | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        """Cut a copy of the sublayer, mended in closed form.

        Args:
            model: dense; all that is not of this sublayer stays shared with it.
            sites: its anatomy.
            site: one of them.
            mask: [*grid] bool.
            repairs: what is mended before the cut, in order.
            seen: what they ask of the dense reader's input and output.
            evidence: what scoring saw.
        """
        self.site, own = site, _own(model, site)
        copy = partly(model, own)
        if seen is not None:
            mask = _mended(Reader(copy, site, _inputs(site, mask), seen, evidence), repairs)
        self.mask = mask
        cut(copy, Plan({site.name: mask}), sites)
        self.parameters = {name: copy.get_parameter(name) for name in own}
        for tensor in self.parameters.values():
            tensor.requires_grad_(False)
        self._block: Any = copy.get_submodule(block_of(site)).eval()
        self._said = torch.empty(0)
        copy.get_submodule(site.reader).register_forward_hook(self._read)

    def __call__(self, call: Call) -> Tensor:
        """[sample, token, outputs] what its reader gives where the dense one was given a call."""
        for name, out in call.before.items():
            self._block.get_submodule(name).forward = lambda *_, out=out, **__: out
        self._block(*call.args, **call.kwargs)
        return self._said

    def error(self, call: Call) -> tuple[Tensor, Tensor]:
        """The squared error of what it gives, and the square of what it should give, both summed.

        Padding does not count.
        """
        given, wanted = (_wide(call.flat(seen)) for seen in (self(call), call.y))
        return (given - wanted).square().sum(), wanted.square().sum()

    def tensors(self) -> dict[str, Tensor]:
        """Copies of its parameters, by name in the model."""
        return {name: own.detach().clone() for name, own in self.parameters.items()}

    def write(self, tensors: Mapping[str, Tensor]) -> None:
        """Set its parameters."""
        with torch.no_grad():
            for name, own in self.parameters.items():
                own.copy_(tensors[name])

    def _read(self, _: nn.Module, __: Any, out: Tensor) -> None:
        self._said = out


def _wide(seen: Tensor) -> Tensor:
    """Sums of squares need more than the digits of a reduced precision."""
    return seen.to(torch.promote_types(seen.dtype, torch.float32))


def _own(model: nn.Module, site: Site) -> list[str]:
    """The parameters that a variant of a site has of its own."""
    known = dict(model.named_parameters())
    names = dict.fromkeys([*(part.tensor for part in site.slices), f"{site.reader}.bias"])
    return [name for name in names if name in known]


def _inputs(site: Site, mask: Tensor) -> Tensor:
    """[inputs] which inputs of a site's reader stay; [*grid] of weights."""
    return mask.repeat_interleave(site.inlet.tile[0]) if site.removable else mask


def _mended(reader: Reader, repairs: Iterable[Repair]) -> Tensor:
    """Mend a reader, and tell what stays."""
    for repair in repairs:
        repair.mend(reader)
    return reader.units if reader.site.removable else reader.stays
