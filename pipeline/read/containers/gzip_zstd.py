"""gzip and Zstandard, undone piece by piece: every frame, every checksum, and never more than a table can grow to.

It is done here and not by DuckDB, which does not look at gzip's checksums.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import zstandard

from pipeline.errors import Unreadable
from pipeline.read.limits import Limits
from pipeline.units import KIB, MIB

GZIP = (b"\x1f\x8b",)
ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes((0x50 + number, 0x2A, 0x4D, 0x18)) for number in range(16)))
"""How the files begin; a Zstandard file may begin with a frame to be passed over, of which there are sixteen kinds."""

_ZSTD_STEP = 16 * KIB  # its decoder gives out all that a piece unpacks to, however much that is
_ZSTD_WINDOW = 128 * MIB


@dataclass
class Growth:
    """How much came in, and how much of that came out. Raises Unreadable where no table packs so well."""

    what: str
    limits: Limits
    taken: int = 0
    given: int = 0

    def give(self, size: int) -> None:
        """So many bytes more came out."""
        self.given += size
        if self.given > self.limits.ratio_free_bytes and self.given > self.taken * self.limits.ratio:
            raise Unreadable(
                f"The {self.what} file unpacks to more than {self.limits.ratio} times its size, which no table does.",
                hint="Upload the file uncompressed.",
            )

    def damaged(self, why: object) -> Unreadable:
        """The refusal of a file whose checksum, or whose structure, is wrong from here on."""
        return Unreadable(
            f"The {self.what} file is damaged after {self.given:,} bytes of text: {why}.",
            hint="Compress the file again, or upload it again: a byte changed on its way.",
        )

    def cut(self) -> Unreadable:
        """The refusal of a file that is over too soon."""
        return Unreadable(
            f"The {self.what} file ends in the middle, after {self.given:,} bytes of text.",
            hint="Upload it again: it was cut on its way.",
        )


def gunzip(blocks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """The bytes of all members, in pieces of at most ``chunk_bytes``; checksums and lengths are checked by zlib."""
    member, growth = zlib.decompressobj(wbits=31), Growth("gzip", limits)
    for block in blocks:
        growth.taken += len(block)
        while block:
            if member.eof:
                block = block.lstrip(b"\0")  # some tapes and tools pad the end with zeros
                if not block:
                    break
                member = zlib.decompressobj(wbits=31)
            try:
                piece = member.decompress(block, limits.chunk_bytes)
            except zlib.error as error:
                raise growth.damaged(error) from error
            growth.give(len(piece))
            if piece:
                yield piece
            block = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise growth.cut()


def unzstd(blocks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """The bytes of all frames, in pieces of at most ``chunk_bytes``; checksums, where there are any, are checked."""
    decoder, growth = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW), Growth("Zstandard", limits)
    frame = decoder.decompressobj()
    for step in _steps(blocks):
        growth.taken += len(step)
        while step:
            if frame.eof:
                frame = decoder.decompressobj()
            try:
                piece = frame.decompress(step)
            except zstandard.ZstdError as error:
                raise growth.damaged(error) from error
            growth.give(len(piece))
            for start in range(0, len(piece), limits.chunk_bytes):
                yield piece[start : start + limits.chunk_bytes]
            step = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise growth.cut()


def _steps(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), _ZSTD_STEP):
            yield block[start : start + _ZSTD_STEP]
