"""Texts as numbers, so that equal answers are equal numbers."""

from hashlib import blake2b


def fingerprint(text: str) -> int:
    """A signed 64-bit number, the same for the same text in every process."""
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
