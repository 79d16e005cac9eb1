"""Decompress gzip and Zstandard in pieces: every frame, every checksum, and a limit on the ratio (decompression bombs).

DuckDB is not used for this, since it does not check gzip's checksums.
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
"""How the files begin; a Zstandard file may begin with a skippable frame, of which there are sixteen kinds."""

_ZSTD_STEP = 16 * KIB  # its decoder returns all that a piece unpacks to, however much that is
_ZSTD_WINDOW = 128 * MIB


@dataclass
class SizeGuard:
    """Counts the bytes read and the bytes they unpack to. Raises Unreadable where no table compresses so well."""

    what: str
    limits: Limits
    bytes_in: int = 0
    bytes_out: int = 0

    def add_output(self, size: int) -> None:
        """Count bytes that were unpacked. Raises Unreadable if they are too many."""
        self.bytes_out += size
        if self.bytes_out > self.limits.ratio_free_bytes and self.bytes_out > self.bytes_in * self.limits.ratio:
            raise Unreadable(
                f"The {self.what} file unpacks to more than {self.limits.ratio} times its size, which no table does.",
                hint="Upload the file uncompressed.",
            )

    def damaged(self, why: object) -> Unreadable:
        """Return the error about a wrong checksum or structure at this point."""
        return Unreadable(
            f"The {self.what} file is damaged after {self.bytes_out:,} bytes of text: {why}.",
            hint="Compress the file again, or upload it again: a byte was changed.",
        )

    def truncated(self) -> Unreadable:
        """Return the error about a file that ends too early."""
        return Unreadable(
            f"The {self.what} file ends in the middle, after {self.bytes_out:,} bytes of text.",
            hint="Upload it again: it was truncated on its way.",
        )


def gunzip(blocks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """Yield the bytes of all members, in pieces of at most ``chunk_bytes``; zlib checks checksums and lengths."""
    member, guard = zlib.decompressobj(wbits=31), SizeGuard("gzip", limits)
    for block in blocks:
        guard.bytes_in += len(block)
        while block:
            if member.eof:
                block = block.lstrip(b"\0")  # some tapes and tools pad the end with zeros
                if not block:
                    break
                member = zlib.decompressobj(wbits=31)
            try:
                piece = member.decompress(block, limits.chunk_bytes)
            except zlib.error as error:
                raise guard.damaged(error) from error
            guard.add_output(len(piece))
            if piece:
                yield piece
            block = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise guard.truncated()


def unzstd(blocks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """Yield the bytes of all frames, in pieces of at most ``chunk_bytes``; checksums, where there are any, are checked."""
    decoder, guard = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW), SizeGuard("Zstandard", limits)
    frame = decoder.decompressobj()
    for step in _steps(blocks):
        guard.bytes_in += len(step)
        while step:
            if frame.eof:
                frame = decoder.decompressobj()
            try:
                piece = frame.decompress(step)
            except zstandard.ZstdError as error:
                raise guard.damaged(error) from error
            guard.add_output(len(piece))
            for start in range(0, len(piece), limits.chunk_bytes):
                yield piece[start : start + limits.chunk_bytes]
            step = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise guard.truncated()


def _steps(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), _ZSTD_STEP):
            yield block[start : start + _ZSTD_STEP]
