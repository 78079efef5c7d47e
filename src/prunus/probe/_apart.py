"""What a sublayer is given in a model's forward pass, so that a copy of it can run on the same."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache

from prunus.edit._frozen import frozen
from prunus.errors import PrunusError
from prunus.probe._tokens import flat, real_tokens
from prunus.probe.loss import Batch
from prunus.site import Site


@dataclass
class Call:
    """What a sublayer was given in one pass, and what its reader made of it.

    Attributes:
        args: positional arguments of its block.
        kwargs: the others.
        before: {child of the block: what it gave} of what ran before the sublayer began.
        x: [sample, token, inputs] what its reader read.
        y: [sample, token, outputs] what its reader gave.
        real: [sample, token] which tokens are no padding; None where all are.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    before: dict[str, Any] = field(default_factory=dict)
    x: Tensor = field(default_factory=lambda: torch.empty(0))
    y: Tensor = field(default_factory=lambda: torch.empty(0))
    real: Tensor | None = None

    def flat(self, seen: Tensor) -> Tensor:
        """[sample, token, width] as [real token, width]."""
        return flat(seen, self.real)


Calls = dict[str, Call]


def block_of(site: Site) -> str:
    """The smallest module that holds all modules of a site: its producers and its reader."""
    paths = [path.split(".") for path in (*site.producers, site.reader)]
    shared = takewhile(lambda steps: len(set(steps)) == 1, zip(*paths, strict=False))
    return ".".join(steps[0] for steps in shared)


class Listener:
    """Notes the first call of a sublayer in each pass.

    Attributes:
        call: what was noted; None before a pass comes to the sublayer.
    """

    def __init__(self, model: nn.Module, site: Site) -> None:
        """Hear nothing yet."""
        self._site, block = site, block_of(site)
        self.call: Call | None = None
        self._begun = self._done = False
        module, reader = model.get_submodule(block), model.get_submodule(site.reader)
        own = [f"{path}." for path in (*site.producers, site.reader)]
        self._hooks = [
            module.register_forward_pre_hook(self._open, with_kwargs=True, prepend=True),
            *(
                model.get_submodule(p).register_forward_pre_hook(self._begin)
                for p in site.producers
            ),
            *(
                child.register_forward_hook(partial(self._ran, name))
                for name, child in module.named_children()
                if not any(path.startswith(f"{block}.{name}.".lstrip(".")) for path in own)
            ),
            reader.register_forward_hook(self._read),
        ]

    def close(self) -> None:
        """Take the hooks back."""
        for hook in self._hooks:
            hook.remove()

    def hear(self) -> None:
        """A new pass begins."""
        self.call, self._begun, self._done = None, False, False

    def heard(self, batch: Batch) -> Call:
        """What was heard in the pass over a batch.

        Raises:
            PrunusError: nothing.
        """
        if self.call is None or not self._done:
            raise PrunusError(
                f"site {self._site.name!r}: no forward pass reaches {self._site.reader}; leave it"
                " out of the sites"
            )
        self.call.real = real_tokens(batch, self._site.name, self.call.y)
        return self.call

    def _open(self, _: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if self.call is None:
            given = {name: _uncached(value) for name, value in kwargs.items()}
            self.call = Call(tuple(map(_uncached, args)), given)

    def _begin(self, *_: Any) -> None:
        self._begun = True

    def _ran(self, name: str, _: nn.Module, __: Any, out: Any) -> None:
        if self.call is not None and not self._begun:
            self.call.before[name] = out

    def _read(self, _: nn.Module, args: tuple[Any, ...], out: Tensor) -> None:
        if self.call is not None and not self._done:
            self.call.x, self.call.y, self._done = args[0].detach(), out.detach(), True


def _uncached(value: Any) -> Any:
    """Nothing in place of keys and values of earlier tokens, to which a call would add."""
    return None if isinstance(value, Cache) else value


def passes(
    model: nn.Module,
    sites: Iterable[Site],
    batches: Iterable[Batch],
    computing: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[tuple[Batch, Calls]]:
    """One forward pass a batch, without gradients, and what every sublayer was given in it.

    Args:
        model: in evaluation mode meanwhile.
        sites: with one reader each, see :attr:`Site.has_inlet` and :attr:`Site.in_linear`.
        batches: mappings of keyword arguments.
        computing: a context for the forward passes, such as autocast.

    Yields:
        Each batch with {site: its first call}.

    Raises:
        PrunusError: there are no batches, or a pass does not reach a site.
    """
    listeners = {site.name: Listener(model, site) for site in sites}
    some = False
    try:
        for batch in batches:
            some = True
            for listener in listeners.values():
                listener.hear()
            with frozen(model), torch.no_grad(), computing():
                model(**batch)
            yield batch, {name: one.heard(batch) for name, one in listeners.items()}
    finally:
        for listener in listeners.values():
            listener.close()
    if not some:
        raise PrunusError("no batches: the calibration data is empty")
