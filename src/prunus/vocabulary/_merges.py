"""The merges of byte-pair encoding, and which of them build a token."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

Pair = tuple[str, str]


class Merges:
    """The merges of a tokenizer in their order.

    >>> merges = Merges({"merges": [["a", "b"], ["c", "d"], ["ab", "cd"], ["x", "y"]]})
    >>> sorted(merges.closure({"abcd"}))
    ['ab', 'abcd', 'cd']
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        """Read the ``model`` of a tokenizer.json, whose merges are pairs or lines."""
        self.prefix = model.get("continuing_subword_prefix") or ""
        self.suffix = model.get("end_of_word_suffix") or ""
        pairs = (tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"])
        self.ranks: dict[Pair, int] = {(a, b): rank for rank, (a, b) in enumerate(pairs)}

    def merged(self, pair: Pair) -> str:
        """The token that a merge makes."""
        return pair[0] + pair[1].removeprefix(self.prefix)

    def single(self, token: str) -> bool:
        """Whether a token is one character, which no merge makes."""
        return len(self._characters(token)) == 1

    def closure(self, tokens: Iterable[str]) -> set[str]:
        """The tokens and all that is made on the way to them.

        In any text, merges inside of a token that comes out are those that make the token when it
        stands alone, in the same order: none crosses its ends. So it is enough to make each alone.
        """
        return {made for token in tokens for made in self._way(token)}

    def _way(self, token: str) -> Iterator[str]:
        """What merging makes of a token's own characters, the token last."""
        yield token
        parts = self._characters(token)
        while pairs := [pair for pair in pairwise(parts) if pair in self.ranks]:
            best = min(pairs, key=self.ranks.__getitem__)
            place = list(pairwise(parts)).index(best)
            parts[place : place + 2] = [self.merged(best)]
            yield parts[place]

    def _characters(self, token: str) -> list[str]:
        inner, end = token.removeprefix(self.prefix), ""
        if self.suffix and len(inner) > len(self.suffix) and inner.endswith(self.suffix):
            inner, end = inner.removesuffix(self.suffix), self.suffix
        first = token.removesuffix(inner + end)
        return [
            (self.prefix if place else first) + character + (end if place == len(inner) - 1 else "")
            for place, character in enumerate(inner)
        ]
