"""Recognise what a file contains: texts as chunks of strict UTF-8, files for random access, or an error that names the kind.

The content decides, never the name. One layer of containers is opened (gzip_zstd.py, zip_archive.py); nothing is unpacked
before it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from pipeline.errors import Unreadable
from pipeline.read.containers import zip_archive
from pipeline.read.containers.file_kinds import FileKind, kind_of_zip, unsupported_kind
from pipeline.read.containers.gzip_zstd import GZIP, ZSTD, gunzip, unzstd
from pipeline.read.containers.service_files import is_unremarkable, partition_of
from pipeline.read.containers.text_encoding import BYTE_ORDER_MARKS, asked_mark, checked_encoding, decoded, wrong_encoding
from pipeline.read.containers.zip_archive import ZIP
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import printable
from pipeline.units import KIB

ACCEPTED = (
    "CSV (with commas, semicolons, tabs or bars), a JSON array or JSON lines (NDJSON), in UTF-8, as Parquet or as an Excel"
    " workbook (xlsx), each also compressed with gzip, Zstandard or ZIP"
)
"""The accepted formats, for the hint of every refusal."""

PARQUET = b"PAR1"
HEAD_BYTES = 4096
_KIND_BYTES = 64 * KIB  # in which the names of an old workbook's streams may be
_TEXT_CONTROLS = b"\t\n\r\f\x1b\x1a"


@dataclass(frozen=True)
class TextContent:
    """A text as UTF-8 without a byte order mark, in chunks of bounded size, none of them empty."""

    name: str  # in its archive, if that has several files
    encoding: str  # as it was in the file
    chunks: Iterator[bytes]
    marks: int = 1  # byte order marks at the beginning, if it has any


@dataclass(frozen=True)
class FileContent:
    """A file of a format that needs random access, so it is on disk."""

    name: str  # as above
    format: str  # "parquet" or "xlsx"
    path: Path


Content = TextContent | FileContent


@dataclass(frozen=True)
class StoredFile:
    """What an upload contains. Each of ``contents`` is valid until the next one is asked for."""

    compression: str  # "none", "gzip", "zstd" or "zip"
    names: tuple[str, ...]
    contents: Iterator[Content]
    passed_over: tuple[str, ...] = ()  # files in an archive that are no tables
    partitions: tuple[Mapping[str, str | None], ...] = ()  # columns that the folders' names give, of each of the contents


BLOCK_BYTES = 512 * KIB
"""How much of a file is read at once. Scanning is twice as fast on what fits the processor's cache (compared with 4 MiB)."""


@contextmanager
def unpack(source: Path, limits: Limits, encoding: str | None = None) -> Iterator[StoredFile]:
    """Recognise what ``source`` contains, with its texts in the ``encoding``, if that is given.

    What has to be unpacked to a file is in the same folder meanwhile.

    Raises Unreadable at once for a broken container, from ``contents`` for an unsupported format, and from a text's chunks for
    a broken stream or a wrong byte. Raises InvalidRequest for an unknown encoding.
    """
    encoding = checked_encoding(encoding)
    with source.open("rb") as file, TemporaryDirectory(prefix="unpacked-", dir=source.parent) as scratch:
        blocks = iter(partial(file.read, BLOCK_BYTES), b"")
        head = _first_bytes(blocks)
        if not head:
            raise Unreadable("The file is empty: it has no bytes.", code="empty_file", hint="Upload it again.")
        if head.startswith(ZIP) and _zip_kind(source) == "zip":
            with zip_archive.opened(source) as members:
                yield _unzip(members, limits, Path(scratch), encoding)
            return
        compression, undo = next(
            ((name, undo) for name, marks, undo in _COMPRESSIONS if head.startswith(marks)), ("none", None)
        )
        blocks = chain([head], blocks)
        plain = undo(blocks, limits) if undo else blocks
        path = None if undo else source
        yield StoredFile(compression, ("",), _contents("", plain, compression, limits, Path(scratch), path, encoding))


_COMPRESSIONS = (("gzip", GZIP, gunzip), ("zstd", ZSTD, unzstd))


def _unzip(members: ZipFile, limits: Limits, scratch: Path, encoding: str | None) -> StoredFile:
    entries, others = zip_archive.files_in(members, limits)
    passed_over = tuple(name for name in others if not is_unremarkable(name))
    if not entries:
        besides = f" but {len(passed_over):,} that are no tables, such as {printable(passed_over[0])}" if passed_over else ""
        raise Unreadable(f"The ZIP archive contains no files{besides}.", code="empty_file", hint="Pack the files again.")
    names = tuple(entry.filename if len(entries) > 1 else "" for entry in entries)

    def contents() -> Iterator[Content]:
        for name, entry in zip(names, entries, strict=True):
            with zip_archive.naming_member(name):
                yield from _contents(
                    name, zip_archive.chunks_of(members, entry, limits), "zip", limits, scratch, None, encoding
                )

    partitions = tuple(partition_of(entry.filename) for entry in entries)
    return StoredFile("zip", names, contents(), passed_over, partitions)


def _contents(
    name: str,
    blocks: Iterator[bytes],
    compression: str,
    limits: Limits,
    scratch: Path,
    path: Path | None = None,
    asked: str | None = None,
) -> Iterator[Content]:
    """Yield the one content of a stream of bytes, which is also the file ``path`` if that is given."""
    head = _first_bytes(blocks)
    if not head:
        raise Unreadable(f"The {_CONTAINER_NAMES[compression]} is empty.", code="empty_file", hint="Compress the file again.")
    if head.startswith((PARQUET, *ZIP)):
        path = path or _saved(chain([head], blocks), scratch / "unpacked", limits)
        form = "parquet" if head.startswith(PARQUET) else _zip_kind(path)
        if form not in ("parquet", "xlsx"):
            raise _unsupported(kind_of_zip(form), compression)
        yield FileContent(name, form, path)
        return
    kind = unsupported_kind(head[:_KIND_BYTES])
    if kind:
        raise _unsupported(kind, compression)
    encoding, mark = asked_mark(head, asked) if asked else _encoding(head[:HEAD_BYTES])
    begin = len(mark)
    while mark and head.startswith(mark, begin):  # written again by a second program
        begin += len(mark)
    plain = _bounded(chain([head[begin:]], blocks), limits)
    yield TextContent(name, encoding, decoded(plain, encoding, bool(asked)), max(1, begin // max(1, len(mark))))


_CONTAINER_NAMES = {"none": "file", "gzip": "gzip file", "zstd": "Zstandard file", "zip": "file in the ZIP archive"}


def _first_bytes(blocks: Iterator[bytes]) -> bytes:
    """Return the first bytes, enough of them to recognise the format."""
    opening = b""
    while len(opening) < HEAD_BYTES and (block := next(blocks, b"")):
        opening += block
    return opening


def _zip_kind(path: Path) -> str:
    with zip_archive.opened(path) as looked_at:
        return zip_archive.kind_of(looked_at)


def _saved(blocks: Iterator[bytes], path: Path, limits: Limits) -> Path:
    with path.open("wb") as file:
        for block in _bounded(blocks, limits):
            file.write(block)
    return path


def _bounded(chunks: Iterator[bytes], limits: Limits) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limits.file_bytes:
            raise Unreadable(f"The file's text is longer than {limits.file_bytes:,} bytes.", hint="Upload it in several files.")
        yield chunk


# --- What the bytes are -------------------------------------------------------------------------------------------------


def _unsupported(kind: FileKind, compression: str) -> Unreadable:
    wrapped = {"none": "The file", "zip": "The file in the ZIP archive"}.get(compression)
    wrapped = wrapped or f"Inside the {_CONTAINER_NAMES[compression]}, the content"
    return Unreadable(f"{wrapped} is {kind.name}.", hint=kind.advice or f"Export the table as {ACCEPTED}.")


def _encoding(head: bytes) -> tuple[str, bytes]:
    """Return the text's encoding and the byte order mark that it begins with."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            if encoding.startswith("utf-32"):
                raise wrong_encoding("The file is UTF-32.")
            return encoding, mark
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if min(even, odd) * 10 < max(even, odd) and max(even, odd) * 4 > len(head) // 2:
        likely = "utf-16-le" if odd > even else "utf-16-be"
        raise wrong_encoding(
            "Every other byte is NUL: the file looks like UTF-16 without a byte order mark.",
            hint=f"Save the file as UTF-8, or say encoding={likely}.",
            likely=((likely, likely.upper()),),
        )
    controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in head)
    separator = {byte for byte in head if byte < 32 and byte not in _TEXT_CONTROLS}  # one alone: Hive's U+0001, or U+001F
    if controls * 10 > len(head) and (len(separator) > 1 or 0 in separator):
        raise Unreadable("The file is binary data, not text.", hint=f"Supported are {ACCEPTED}.")
    return "utf-8", b""
