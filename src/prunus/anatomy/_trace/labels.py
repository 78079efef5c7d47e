"""Which entries of tensors can only leave together: labels of entries, and their unions.

A factor is an array of labels with as many dimensions as a tensor, of size 1 along those that it
does not depend on; an entry of the tensor stays while everything that its factors label does. A
weight has a factor for its outputs and one for its inputs; heads of some width lie on one factor
over two dimensions. The label 0 is of entries that always stay.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Factor = NDArray[np.int64]
Factors = tuple[Factor, ...]
FIXED = 0


class Labels:
    """Hands out labels, and remembers which of them are one, and why some are fixed."""

    def __init__(self) -> None:
        """Only the label of what always stays is there."""
        self._count = 1
        self._pairs: list[NDArray[np.int64]] = []
        self._reasons: list[tuple[Factor, str]] = []
        self._rectangles: list[Factor] = []

    def fresh(self, size: int, axis: int = 0, dims: int = 1) -> Factor:
        """[1, ..., size, ..., 1] labels that nothing else has."""
        found = np.arange(self._count, self._count + size, dtype=np.int64)
        self._count += size
        return found.reshape([size if dim == axis else 1 for dim in range(dims)])

    def unite(self, one: Factor, other: Factor) -> None:
        """Entries at the same place leave together; sizes of 1 are broadcast."""
        pairs = np.stack([side.ravel() for side in np.broadcast_arrays(one, other)])
        self._pairs.append(pairs[:, pairs[0] != pairs[1]])

    def fix(self, factor: Factor, why: str) -> None:
        """These entries always stay."""
        self.unite(factor, np.zeros_like(factor))
        self._reasons.append((factor, why))

    def only(self, factor: Factor, dims: Iterable[int]) -> Factor:
        """A factor that depends on some dimensions alone: along the others labels become one."""
        along = tuple(dim for dim in spread(factor) if dim not in set(dims))
        if not along:
            return factor
        first = factor[
            tuple(slice(0, 1) if d in along else slice(None) for d in range(factor.ndim))
        ]
        self.unite(factor, first)
        return first

    def keep_rectangular(self, factor: Factor) -> None:
        """What leaves must be whole rows, or whole columns, of a factor over two dimensions."""
        if len(spread(factor)) > 1:
            self._rectangles.append(factor)

    def classes(self) -> NDArray[np.int64]:
        """[labels] the number of each label's class; 0 is the class of what always stays."""
        while True:
            found = self._classes()
            torn = [one for one in self._rectangles if not _rectangular(found[one])]
            if not torn:
                return found
            for one in torn:  # sizes that code spells out are mostly the outer ones
                self.only(one, spread(one)[-1:])

    def reasons(self, classes: NDArray[np.int64]) -> Callable[[Factor], str]:
        """A function that tells why labels are fixed, "" where they are not."""
        known = [(np.unique(factor), why) for factor, why in self._reasons]

        def why(labels: Factor) -> str:
            if (classes[labels] != FIXED).any():
                return ""
            direct = (why for factor, why in known if np.isin(labels, factor).any())
            return next(direct, "tied to what always stays")

        return why

    def _classes(self) -> NDArray[np.int64]:
        ends = np.concatenate([np.zeros((2, 0), np.int64), *self._pairs], axis=1)
        shape = (self._count, self._count)
        graph = coo_array((np.ones(ends.shape[1], bool), (ends[0], ends[1])), shape=shape)
        found = connected_components(graph, directed=False)[1].astype(np.int64)
        return np.where(found == found[FIXED], FIXED, found + 1)


def spread(factor: Factor) -> tuple[int, ...]:
    """The dimensions that a factor depends on."""
    return tuple(dim for dim, size in enumerate(factor.shape) if size > 1)


def meet(one: Factor, other: Factor) -> bool:
    """Whether two factors depend on a common dimension."""
    return bool(set(spread(one)) & set(spread(other)))


def aligned(factor: Factor, dims: int) -> Factor:
    """A factor with leading dimensions of size 1, as broadcasting puts it."""
    return factor.reshape((1,) * (dims - factor.ndim) + factor.shape)


def compact(factor: Factor) -> Factor:
    """The factor of size 1 along every dimension that it is constant on."""
    for dim in spread(factor):
        first = factor.take([0], dim)
        if (factor == first).all():
            factor = first
    return factor


def reshaped(factor: Factor, old: Sequence[int], new: Sequence[int]) -> Factor:
    """A factor of a tensor that is viewed in another shape."""
    sizes: list[int] = []
    whole: list[int] = []
    for before, after in _groups(old, new):
        here = any(factor.shape[dim] > 1 for dim in before)
        whole += [old[dim] if here else 1 for dim in before]
        sizes += [new[dim] if here else 1 for dim in after]
    return compact(np.broadcast_to(factor, whole).reshape(sizes))


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Runs of dimensions, of the old shape and of the new, that hold the same entries."""
    found: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        before, after, left, right = [], [], 1, 1
        while (not before and not after) or left != right:
            if j == len(new) or (i < len(old) and left <= right):
                before, left, i = [*before, i], left * old[i], i + 1
            else:
                after, right, j = [*after, j], right * new[j], j + 1
        found.append((before, after))
    return found


def _rectangular(classes: Factor) -> bool:
    """Whether classes differ along one dimension at most."""
    return len(spread(compact(classes))) <= 1
