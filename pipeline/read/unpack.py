"""Any bytes -> the chunks of one strict UTF-8 text, or a refusal that names what the bytes are.

What a file is, its content says, never its name. gzip is undone here and not by DuckDB, which does not look at the
checksums; zlib does, for every member.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from pipeline.errors import Unreadable
from pipeline.read.limits import MIB, Limits

TAKEN = "CSV, a JSON array, or JSON lines (NDJSON), each also compressed with gzip, in UTF-8"
"""What we take, for the end of every refusal."""

GZIP = b"\x1f\x8b"
HEAD_BYTES = 4096

_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"PAR1", "a Parquet file"),
    (b"PARE", "an encrypted Parquet file"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook, or one with a password"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"ARROW1", "an Arrow file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
)
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the other's
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_TEXT_CONTROLS = b"\t\n\r\f\x1b\x1a"


@dataclass(frozen=True)
class Text:
    """A file as text: UTF-8 without a byte order mark, in chunks of bounded size, none of them empty."""

    compression: str  # "none" or "gzip"
    encoding: str  # as it was in the file
    chunks: Iterator[bytes]


def unpack(source: Path, limits: Limits) -> Text:
    """Recognise what ``source`` holds and open it as text.

    Raises Unreadable at once for what is no text, and later, from the chunks, for a broken stream or a wrong byte.
    """
    chunks = _blocks(source)
    first = next(chunks, b"")
    if not first:
        raise Unreadable("The file is empty: it has no bytes.", code="empty_file", hint="Upload it again.")
    compression = "none"
    if first.startswith(GZIP):
        compression = "gzip"
        chunks = _gunzip(chain([first], chunks), limits)
        first = next(chunks, b"")
        if not first:
            raise Unreadable("The gzip file holds nothing.", code="empty_file", hint="Compress the file again.")
    _refuse_strangers(first[:HEAD_BYTES], inside=compression)
    encoding, mark = _encoding(first[:HEAD_BYTES])
    plain = _bounded(chain([first[len(mark) :]], chunks), limits)
    return Text(compression, encoding, _utf8(plain, encoding))


def _blocks(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        while block := file.read(4 * MIB):
            yield block


def _bounded(chunks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limits.file_bytes:
            raise Unreadable(f"The file's text is longer than {limits.file_bytes:,} bytes.", hint="Upload it in several files.")
        yield chunk


# --- gzip ---------------------------------------------------------------------------------------------------------------


def _gunzip(blocks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    """The bytes of all members, in pieces of at most ``chunk_bytes``; checksums and lengths are checked by zlib."""
    member = zlib.decompressobj(wbits=31)
    taken = given = 0
    for block in blocks:
        taken += len(block)
        while block:
            if member.eof:
                block = block.lstrip(b"\0")  # some tapes and tools pad the end with zeros
                if not block:
                    break
                member = zlib.decompressobj(wbits=31)
            try:
                piece = member.decompress(block, limits.chunk_bytes)
            except zlib.error as error:
                raise Unreadable(
                    f"The gzip file is damaged after {given:,} bytes of text: {error}.",
                    hint="Compress the file again, or upload it again: a byte changed on its way.",
                ) from error
            given += len(piece)
            if given > limits.ratio_free_bytes and given > taken * limits.ratio:
                raise Unreadable(
                    f"The gzip file unpacks to more than {limits.ratio} times its size, which no table does.",
                    hint="Upload the file uncompressed.",
                )
            if piece:
                yield piece
            block = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise Unreadable(
            f"The gzip file ends in the middle, after {given:,} bytes of text.",
            hint="Upload it again: it was cut on its way.",
        )


# --- What the bytes are -------------------------------------------------------------------------------------------------


def _refuse_strangers(head: bytes, *, inside: str) -> None:
    stranger = _stranger(head)
    if stranger:
        wrapped = "Inside the gzip file, the content" if inside == "gzip" else "The file"
        raise Unreadable(f"{wrapped} is {stranger}.", hint=f"Export the table as {TAKEN}.")


def _stranger(head: bytes) -> str:
    """What the file is, if it is something we know and do not take; else an empty string."""
    for magic, name in _STRANGERS:
        if head.startswith(magic):
            return name
    if head.startswith(GZIP):
        return "compressed with gzip once more"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "an Excel workbook (xlsx)" if b"xl/" in head or b"[Content_Types].xml" in head else "a ZIP archive"
    if head.startswith(b"MZ") and b"\0" in head:
        return "a program"
    if head[257:262] == b"ustar":
        return "a tar archive"
    opening = head.removeprefix(codecs.BOM_UTF8).lstrip()[:200].lower()
    if opening.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page, perhaps an error message or a sign-in page that was saved as a file"
    if opening.startswith(b"<"):
        return "XML"
    return ""


def _encoding(head: bytes) -> tuple[str, bytes]:
    """The text's encoding and the byte order mark it begins with."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            if encoding.startswith("utf-32"):
                raise _wrong_encoding("The file is UTF-32.")
            return encoding, mark
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if min(even, odd) * 10 < max(even, odd) and max(even, odd) * 4 > len(head) // 2:
        raise _wrong_encoding("Every other byte is NUL: the file looks like UTF-16 without a byte order mark.")
    controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in head)
    if controls * 10 > len(head):
        raise Unreadable("The file is binary data, not text.", hint=f"We take {TAKEN}.")
    return "utf-8", b""


def _wrong_encoding(message: str, line: int | None = None) -> Unreadable:
    return Unreadable(message, code="invalid_encoding", hint="Save the file as UTF-8.", line=line)


# --- Text ---------------------------------------------------------------------------------------------------------------


def _utf8(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The same text as UTF-8. Strict: overlong forms, surrogates and half characters are errors, with their line."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    lines = _Lines()
    pending = b""  # what the decoder holds back of a character that the last chunk cut
    for chunk in chunks:
        if encoding == "utf-8" and not pending and chunk.isascii():
            lines.pass_over(chunk)
            yield chunk
            continue
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise _bad_byte(pending + chunk, error, encoding, lines) from error
        whole = pending + chunk
        pending = decoder.getstate()[0]
        ready = whole[: len(whole) - len(pending)] if encoding == "utf-8" else text.encode()
        lines.pass_over(ready)
        if ready:
            yield ready
    if pending:
        raise _wrong_encoding("The file ends in the middle of a character.", lines.number)


class _Lines:
    """Counts lines as text goes by; a file without any line feed has carriage returns for line ends."""

    def __init__(self) -> None:
        self.feeds = self.returns = 0

    def pass_over(self, text: bytes) -> None:
        self.feeds += int(np.count_nonzero(np.frombuffer(text, np.uint8) == 10))  # bytes.count is five times slower here
        if not self.feeds:
            self.returns += text.count(b"\r")

    @property
    def number(self) -> int:
        """The number of the line that comes next."""
        return 1 + (self.feeds or self.returns)


def _bad_byte(whole: bytes, error: UnicodeDecodeError, encoding: str, lines: _Lines) -> Unreadable:
    good = whole[: error.start]
    lines.pass_over(good if encoding == "utf-8" else good.decode(encoding, "replace").encode())
    if encoding != "utf-8":
        return _wrong_encoding(f"Line {lines.number} is not valid {encoding.upper()}.", lines.number)
    byte = whole[error.start]
    return _wrong_encoding(
        f"Line {lines.number} holds the byte 0x{byte:02X}, which is not UTF-8{_suspicion(byte)}.", lines.number
    )


def _suspicion(byte: int) -> str:
    if 0x80 <= byte < 0xA0:
        return " (Windows-1252, perhaps)"
    if 0xA0 <= byte < 0xC0 or 0xC2 <= byte < 0xF5:
        return " (Latin-1 or Windows-1252, perhaps)"
    return ""
