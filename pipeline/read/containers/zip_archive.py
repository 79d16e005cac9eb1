"""ZIP archives, those that Excel calls workbooks among them: looked through before a byte in them is unpacked.

What an archive says of itself is checked first (how many files, how large, where they lie); then each file is read to its
end, where its checksum is.
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
from pipeline.read.limits import Limits
from pipeline.read.raw_tables import show

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
WORKBOOK = "xl/workbook.xml"

_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_TAKEN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CHAFF = re.compile(r"__MACOSX/|(.*/)?\.DS_Store$")
_OFFICE = (
    ("xl/workbook.bin", "a binary Excel workbook (xlsb)"),
    ("word/document.xml", "a Word document"),
    ("ppt/presentation.xml", "a PowerPoint presentation"),
    ("content.xml", "an OpenDocument file"),
    ("META-INF/MANIFEST.MF", "a Java archive"),
    ("AndroidManifest.xml", "an Android app"),
)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at ``path``. Raises Unreadable if there is no whole one, here or while it is open."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            if any(entry.header_offset < 0 for entry in archive.infolist()):
                raise zipfile.BadZipFile("bytes are missing before the list of its files")
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise Unreadable(
            f"The ZIP archive is damaged or was cut on its way: {str(error).rstrip('.') or 'it ends too soon'}.",
            hint="Pack it again, or upload it again.",
        ) from error


def kind_of(archive: zipfile.ZipFile) -> str:
    """What the archive is: "xlsx", "zip", or what else is known to be packed in this way."""
    names = set(archive.namelist())
    if WORKBOOK in names:
        return "xlsx"
    return next((kind for name, kind in _OFFICE if name in names), "zip")


def files_in(archive: zipfile.ZipFile, limits: Limits) -> list[zipfile.ZipInfo]:
    """The archive's files by name, without folders and what macOS adds. Raises Unreadable for one that cannot be trusted."""
    listed = archive.infolist()
    if len(listed) > limits.members:
        raise Unreadable(
            f"The ZIP archive holds {len(listed):,} entries; at most {limits.members:,} can be read.",
            hint="Put the records into fewer files.",
        )
    _check_overlap(listed, archive.start_dir)
    names = [entry.filename for entry in listed]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise Unreadable(f"The ZIP archive holds {show(twice)} twice.", hint="Pack the files again.")
    for entry in listed:
        _check_entry(entry, limits)
    if sum(entry.file_size for entry in listed) > limits.file_bytes:
        raise Unreadable(f"The archive's files are longer than {limits.file_bytes:,} bytes.", hint="Upload several archives.")
    return sorted((one for one in listed if not one.is_dir() and not _CHAFF.match(one.filename)), key=lambda one: one.filename)


def bytes_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: Limits) -> Iterator[bytes]:
    """A file's bytes in chunks; whoever reads them all has its checksum checked."""
    with archive.open(entry) as file:
        while chunk := file.read(limits.chunk_bytes):
            yield chunk


@contextmanager
def within(name: str) -> Iterator[None]:
    """A refusal in here names the archive's file that it is about; an empty ``name`` is the upload itself."""
    try:
        yield
    except Unreadable as error:
        if not name:
            raise
        raise Unreadable(f"In {show(name)}: {error}", code=error.code, hint=error.hint, line=error.line) from error


def _check_entry(entry: zipfile.ZipInfo, limits: Limits) -> None:
    name = entry.filename
    fault, hint = "", "Pack the files again, plainly."
    if entry.flag_bits & _ENCRYPTED:
        fault, hint = "is encrypted", "Pack the files without a password."
    elif _is_outside(entry.orig_filename) or _is_outside(name):
        fault = "has a name that leads out of the archive"
    elif stat.S_ISLNK(entry.external_attr >> 16):
        fault = "is a link to another file"
    elif entry.compress_type not in _TAKEN:
        fault, hint = f"is compressed in a way we do not take (method {entry.compress_type})", "Pack the files with Deflate."
    elif entry.file_size > limits.ratio_free_bytes and entry.file_size > entry.compress_size * limits.ratio:
        fault = f"unpacks to more than {limits.ratio} times its size, which no table does"
        hint = "Upload the file uncompressed."
    if fault:
        raise Unreadable(f"In the ZIP archive, {show(name)} {fault}.", hint=hint)


def _is_outside(name: str) -> bool:
    steps = re.split(r"[/\\]", name)
    return not steps[0] or ".." in steps or "\0" in name or re.match("[A-Za-z]:", name) is not None


def _check_overlap(entries: Sequence[zipfile.ZipInfo], end: int) -> None:
    """No two entries may share bytes: that is how an archive of kilobytes unpacks to petabytes."""
    for entry in sorted(entries, key=lambda one: one.header_offset, reverse=True):
        if entry.header_offset + _LOCAL_HEADER_BYTES + len(entry.orig_filename) + entry.compress_size > end:
            raise Unreadable(
                f"In the ZIP archive, {show(entry.filename)} lies over what comes after it.", hint="Pack the files again."
            )
        end = entry.header_offset
