"""Watches one forward pass, operation by operation, and carries labels of entries through it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.padding import _ConstantPadNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from prunus.anatomy._trace.columns import columns
from prunus.anatomy._trace.labels import Factor, Factors, Labels, spread
from prunus.errors import PrunusError

COUNTING = {"groups": _ConvNd, "num_groups": nn.GroupNorm, "padding": _ConstantPadNd}
"""Attributes that say how many channels (or groups of them) there are, and whose they are."""

LAYERS = ("convolution", "addmm", "mm")
"""Operations of layers, as far as a batch norm can follow them."""


class Tracer(TorchDispatchMode):
    """Knows the labels of every tensor that an operation has made so far.

    Attributes:
        labels: which of them are one.
        places: {(parameter or buffer, axis): [entries] labels}, in the order of first use.
        counts: {module attribute that counts units: [count] labels}.
        norms: (norm that takes statistics over labelled entries, their factor).
        read: {layer: (operation, module) of everything that its output goes into}.
    """

    def __init__(self, model: nn.Module, rule_of: Callable[[Any], Any]) -> None:
        """Nothing is labelled yet; ``rule_of`` gives the rule for an operation."""
        super().__init__()
        self.labels = Labels()
        self.places: dict[tuple[str, int], Factor] = {}
        self.counts: dict[str, Factor] = {}
        self.norms: list[tuple[str, Factor]] = []
        self.read: dict[str, list[tuple[str, str]]] = {}
        self.columns = columns(model)
        self._model, self._rule_of = model, rule_of
        self._held = _names(model)
        self._known: Any = WeakIdKeyDictionary()
        self._made: Any = WeakIdKeyDictionary()
        self._path = [""]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow the operations of a forward pass, and in which module they are."""
        with ExitStack() as undo:
            for name, module in self._model.named_modules():
                enter = module.register_forward_pre_hook(partial(self._enter, name))
                undo.callback(enter.remove)
                leave = module.register_forward_hook(self._leave, always_call=True)
                undo.callback(leave.remove)
            undo.enter_context(self)
            yield

    @property
    def here(self) -> str:
        """The module that computes now."""
        return self._path[-1]

    def of(self, tensor: Tensor) -> Factors:
        """The factors of a tensor: () where none of its entries is labelled."""
        if tensor not in self._known:
            name = self._held.get(id(tensor))
            self._known[tensor] = () if name is None else self._labelled(name, tensor)
        return self._known[tensor]

    def along(self, tensor: Tensor, dim: int) -> Factor:
        """[size] the labels along one dimension, 0 where there are none."""
        for factor in self.of(tensor):
            if dim in spread(factor):
                return self.labels.only(factor, [dim]).ravel()
        return np.zeros(tensor.shape[dim], np.int64)

    def fix(self, factor: Factor, why: str) -> None:
        """Labelled entries always stay, for a reason that is told with the place."""
        self.labels.fix(factor, f"{why} in {self.here or 'the network itself'}")

    def sized(self, attribute: str, size: int) -> Factor:
        """[size] labels of what an attribute of this module counts, 0 where none does."""
        kind = COUNTING[attribute.partition("[")[0]]
        if not isinstance(self._model.get_submodule(self.here), kind) or not size:
            return np.zeros(size, np.int64)
        path = f"{self.here}.{attribute}"
        if path not in self.counts:
            self.counts[path] = self.labels.fresh(size)
        return self.counts[path]

    def norm(self, factor: Factor, weight: Tensor) -> None:
        """This module takes statistics over these entries, and weighs them."""
        if self._held.get(id(weight)) == f"{self.here}.weight":
            self.norms.append((self.here, factor))
        else:
            self.fix(factor, "normalised by weights of another module")

    def end_at_layer(self, factor: Factor) -> None:
        """Entries are summed over: by a layer, whose input carries them, or they always stay."""
        if f"{self.here}.weight" not in self.columns:
            self.fix(factor, "summed over by no layer of its own")

    @property
    def folds(self) -> dict[str, str]:
        """{layer: the batch norm that alone reads its output}."""
        only = {layer: readers[0] for layer, readers in self.read.items() if len(readers) == 1}
        return {layer: norm for layer, (what, norm) in only.items() if "batch_norm" in what}

    def end(self, out: Any) -> None:
        """What the network gives stays as it is.

        Args:
            out: a tensor, or any nest of mappings and sequences.
        """
        if isinstance(out, Tensor):
            for factor in self.of(out):
                self.labels.fix(factor, "the network's output")
        elif isinstance(out, Mapping):
            self.end(list(out.values()))
        elif isinstance(out, list | tuple):
            for part in out:
                self.end(part)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Compute, then label what came out.

        Raises:
            PrunusError: labelled entries went into an operation that has no rule.
        """
        out = func(*args, **(kwargs or {}))
        given = _bound(func, args, kwargs or {})
        tensors = list(_tensors(list(given.values())))
        self._note(func, tensors, out)
        rule = self._rule_of(func)
        if rule is not None:
            self._put(out, rule(self, given, out))
        elif any(self.of(tensor) for tensor in tensors):
            raise PrunusError(
                f"{self.here or type(self._model).__name__}: channels go through the operation"
                f" {func}, which prunus cannot follow; prune the rest of the network by its own"
                " sites or grids, or write this part with operations that keep channels apart"
            )
        return out

    def _note(self, func: Any, tensors: list[Tensor], out: Any) -> None:
        """Who reads what a layer has made."""
        for layer in {self._made[tensor] for tensor in tensors if tensor in self._made}:
            self.read.setdefault(layer, []).append((func.overloadpacket.__name__, self.here))
        if func.overloadpacket.__name__ in LAYERS:
            self._made[out] = self.here

    def _put(self, out: Any, factors: Factors) -> None:
        for tensor in [out] if isinstance(out, Tensor) else out:
            fits = isinstance(tensor, Tensor) and all(
                f.ndim == tensor.dim()
                and all(f.shape[dim] == tensor.shape[dim] for dim in spread(f))
                for f in factors
            )
            if isinstance(tensor, Tensor):
                self._known[tensor] = factors if fits else ()

    def _labelled(self, name: str, tensor: Tensor) -> Factors:
        if not tensor.is_floating_point():
            return ()
        axes = [axis for axis, size in enumerate(tensor.shape) if size > 1]
        found = {axis: self.labels.fresh(tensor.shape[axis], axis, tensor.dim()) for axis in axes}
        self.places |= {(name, axis): factor.ravel() for axis, factor in found.items()}
        return tuple(found.values())

    def _enter(self, name: str, *_: Any) -> None:
        self._path.append(name)

    def _leave(self, *_: Any) -> None:
        self._path.pop()


def _names(model: nn.Module) -> dict[int, str]:
    """The first name of every parameter and buffer."""
    found: dict[int, str] = {}
    for tensors in (model.named_parameters(), model.named_buffers()):
        for name, tensor in tensors:
            found.setdefault(id(tensor), name)
    return found


def _bound(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """An operation's arguments by name, the usual ones filled in."""
    known = func._schema.arguments
    given = {one.name: one.default_value for one in known if one.has_default_value()}
    given |= dict(zip((one.name for one in known), args, strict=False))
    return given | kwargs


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def frozen_pass(model: nn.Module, example: Mapping[str, Any]) -> Any:
    """What a model gives for an example, evaluated without gradients."""
    training = [module for module in model.modules() if module.training]
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        model.eval()
        torch.backends.mha.set_fastpath_enabled(False)  # one operation for a whole layer
        with torch.no_grad():
            return model(**example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module in training:
            module.training = True
