"""Read ZIP archives, Excel workbooks included, and check them before anything is unpacked.

The directory of the archive is checked first (number, sizes and positions of its files); then each file is read to its end, so
that its checksum is checked.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import Unreadable
from pipeline.read.containers.file_kinds import kind_by_content_types, kind_by_names
from pipeline.read.containers.service_files import split_service_files
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import printable

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
WORKBOOK = "xl/workbook.xml"

_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

WORKBOOK_TYPE = re.compile(r"(spreadsheetml\.(sheet|template)|ms-excel\.(sheet|template)\.macroEnabled)\.main\+xml$")
"""The content type of a workbook's list of sheets: a workbook or a template, with or without macros."""

_TYPES_BYTES = 1 << 20  # of [Content_Types].xml that are looked at


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive at ``path``. Raises Unreadable if it is damaged, here or while it is open."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            if any(entry.header_offset < 0 for entry in archive.infolist()):
                raise zipfile.BadZipFile("bytes are missing before the list of its files")
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise Unreadable(
            f"The ZIP archive is damaged or incomplete: {str(error).rstrip('.') or 'it ends too soon'}.",
            hint="Pack it again, or upload it again.",
        ) from error


def kind_of(archive: zipfile.ZipFile) -> str:
    """Return what the archive is: "xlsx", "zip", or the key of another format that is a ZIP archive (file_kinds.py)."""
    spelled = {entry.filename.replace("\\", "/").strip("/").casefold(): entry for entry in archive.infolist()}
    if WORKBOOK in spelled:
        return "xlsx"
    if other := kind_by_names(spelled):
        return other
    types = spelled.get("[content_types].xml")
    if types is None or types.flag_bits & _ENCRYPTED or types.compress_type not in _METHODS:
        return "zip"
    with archive.open(types) as file:
        said = file.read(_TYPES_BYTES).decode(errors="replace")
    stated = re.findall(r"""ContentType\s*=\s*["']([^"']*)["']""", said)
    return "xlsx" if any(WORKBOOK_TYPE.search(one) for one in stated) else kind_by_content_types(stated)


def files_in(archive: zipfile.ZipFile, limits: Limits) -> tuple[list[zipfile.ZipInfo], list[str]]:
    """Return the archive's tables by name, and the names of other files (service_files.py). Raises Unreadable as below."""
    entries = {one.filename: one for one in checked_entries(archive, limits)}
    tables, others = split_service_files(list(entries))
    return [entries[name] for name in tables], others


def checked_entries(archive: zipfile.ZipFile, limits: Limits) -> list[zipfile.ZipInfo]:
    """Return the archive's files by name, without folders. Raises Unreadable for a malicious archive."""
    listed = archive.infolist()
    if len(listed) > limits.members:
        raise Unreadable(
            f"The ZIP archive contains {len(listed):,} entries; at most {limits.members:,} can be read.",
            hint="Put the records into fewer files.",
        )
    _check_overlap(listed, archive.start_dir)
    names = [entry.filename for entry in listed]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise Unreadable(f"The ZIP archive contains {printable(twice)} twice.", hint="Pack the files again.")
    for entry in listed:
        _check_entry(entry, limits)
    if sum(entry.file_size for entry in listed) > limits.file_bytes:
        raise Unreadable(f"The archive's files are longer than {limits.file_bytes:,} bytes.", hint="Upload several archives.")
    return sorted((one for one in listed if not one.is_dir()), key=lambda one: one.filename)


def chunks_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: Limits) -> Iterator[bytes]:
    """Yield a file's bytes in chunks; its checksum is checked at the end."""
    with archive.open(entry) as file:
        while chunk := file.read(limits.chunk_bytes):
            yield chunk


@contextmanager
def naming_member(name: str) -> Iterator[None]:
    """Add the name of the archive's file to an Unreadable that is raised inside; an empty ``name`` is the upload itself."""
    try:
        yield
    except Unreadable as error:
        if not name:
            raise
        raise Unreadable(f"In {printable(name)}: {error}", code=error.code, hint=error.hint, line=error.line) from error


def _check_entry(entry: zipfile.ZipInfo, limits: Limits) -> None:
    name = entry.filename
    fault, hint = "", "Pack the files again with a standard tool."
    if entry.flag_bits & _ENCRYPTED:
        fault, hint = "is encrypted", "Pack the files without a password."
    elif _is_outside(entry.orig_filename) or _is_outside(name):
        fault = "has a name that leads out of the archive"
    elif stat.S_ISLNK(entry.external_attr >> 16):
        fault = "is a link to another file"
    elif entry.compress_type not in _METHODS:
        fault, hint = (
            f"is compressed with method {entry.compress_type}, which is not supported",
            "Pack the files with Deflate.",
        )
    elif entry.file_size > limits.ratio_free_bytes and entry.file_size > entry.compress_size * limits.ratio:
        fault = f"unpacks to more than {limits.ratio} times its size, which no table does"
        hint = "Upload the file uncompressed."
    if fault:
        raise Unreadable(f"In the ZIP archive, {printable(name)} {fault}.", hint=hint)


def _is_outside(name: str) -> bool:
    steps = re.split(r"[/\\]", name)
    return not steps[0] or ".." in steps or "\0" in name or re.match("[A-Za-z]:", name) is not None


def _check_overlap(entries: Sequence[zipfile.ZipInfo], end: int) -> None:
    """Refuse entries that share bytes: that is how an archive of kilobytes unpacks to petabytes."""
    for entry in sorted(entries, key=lambda one: one.header_offset, reverse=True):
        if entry.header_offset + _LOCAL_HEADER_BYTES + len(entry.orig_filename) + entry.compress_size > end:
            raise Unreadable(
                f"In the ZIP archive, {printable(entry.filename)} overlaps the file that follows it.",
                hint="Pack the files again.",
            )
        end = entry.header_offset
