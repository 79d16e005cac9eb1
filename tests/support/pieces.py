"""Cut bytes into chunks, as a network does."""

from __future__ import annotations

from collections.abc import Iterator


def pieces(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Yield the content, cut at these positions."""
    at = 0
    for cut in sorted({min(cut, len(content)) for cut in cuts} | {len(content)}):
        if cut > at:
            yield content[at:cut]
        at = cut
