"""Cleaning of short social texts, so that no text is both learnt from and tested on."""

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence

NOISE = re.compile(r"(?:https?://|www\.)\S+|@\w+|\brt\b|[^\w\s]|_")


def bare(text: str) -> str:
    """The words of a text: lower case, without links, mentions, RT and punctuation."""
    return " ".join(NOISE.sub(" ", text.lower()).split())


def social(texts: Sequence[str], labels: Sequence[Hashable]) -> list[int]:
    """Which rows stay: the first of each set of equal bare texts, none where labels disagree.

    Args:
        texts: one an example.
        labels: one an example.

    Returns:
        Row numbers in ascending order. Rows without any word are left out too.
    """
    keys = [bare(text) for text in texts]
    said = defaultdict(set)
    for key, label in zip(keys, labels, strict=True):
        said[key].add(label)
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    return sorted(row for key, row in first.items() if key and len(said[key]) == 1)
