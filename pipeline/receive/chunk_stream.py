"""Chunks of bytes as a stream that S3's multipart upload can read."""

from __future__ import annotations

from collections.abc import Iterator


class ChunkStream:
    """Read from chunks. ``read(n)`` returns exactly n bytes until the end, as S3's multipart uploads need.

    ``has_failed``: the chunks raised an error before their end.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""
        self.has_failed = False

    def read(self, size: int = -1, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end; all that is left if ``size`` is negative."""
        pieces, have = [self._left], len(self._left)
        while size < 0 or have < size:
            chunk = self._next_chunk()
            if not chunk:
                break
            pieces.append(chunk)
            have += len(chunk)
        got = b"".join(pieces)
        if size < 0:
            self._left = b""
            return got
        self._left = got[size:]
        return got[:size]

    def _next_chunk(self) -> bytes:
        try:
            return next(self._chunks, b"")
        except Exception:
            self.has_failed = True
            raise
