"""Bytes on their way to a backup: counted and digested."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Written:
    """Size and SHA-256 of a file in a backup."""

    size_bytes: int
    sha256: str


class Digesting:
    """Chunks that are counted and digested while they are read, once. ``written`` is complete at their end."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._digest = hashlib.sha256()
        self._size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._digest.update(chunk)
            self._size_bytes += len(chunk)
            yield chunk

    @property
    def written(self) -> Written:
        """Return size and SHA-256 of what was read so far."""
        return Written(self._size_bytes, self._digest.hexdigest())


def digest(chunks: Iterable[bytes]) -> Written:
    """Return size and SHA-256 of chunks, which are read to their end."""
    digesting = Digesting(chunks)
    for _ in digesting:
        pass
    return digesting.written
