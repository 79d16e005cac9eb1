"""What a backup consists of, and how it says so.

backups/20260131T020000Z/database.dump       pg_dump's custom format
backups/20260131T020000Z/objects.ndjson.gz   one line per object: key, size, ETag, time, type, metadata, SHA-256
backups/20260131T020000Z/manifest.json       written last: a backup without it is incomplete, and is not one
objects/ab/abcd...                           the contents of objects by SHA-256, shared by all backups in this place
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pipeline.adapters.s3 import Stored
from pipeline.backup.places import Place
from pipeline.backup.written import Written
from pipeline.errors import InternalInconsistency, InvalidRequest, NotFound

FORMAT = 1
NAME = re.compile(r"\d{8}T\d{6}Z")
FOLDER, OBJECTS = "backups/", "objects/"
DUMP, LIST, MANIFEST = "database.dump", "objects.ndjson.gz", "manifest.json"
_LINES_AT_ONCE = 2_000


@dataclass(frozen=True)
class Database:
    """The part of a backup that is in PostgreSQL."""

    dump: Written
    dump_major: int
    server_version: str
    lsn: str
    role: str
    roles: tuple[str, ...]
    ledger_version: str
    imports: Mapping[str, int]
    records: Mapping[str, int]


@dataclass(frozen=True)
class Objects:
    """The part of a backup that is in S3. ``copied`` were not in an earlier backup, ``vanished`` went meanwhile."""

    bucket: str
    list: Written
    count: int
    size_bytes: int
    copied: int
    copied_bytes: int
    vanished: int


@dataclass(frozen=True)
class Manifest:
    """One complete backup. ``taken_at`` is the moment to which it goes back."""

    name: str
    taken_at: str
    finished_at: str
    bulkhead: str
    database: Database
    objects: Objects
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Return it as the JSON that ``manifest_in`` reads."""
        return asdict(self)


@dataclass(frozen=True)
class Entry:
    """One object of a backup."""

    key: str
    size_bytes: int
    etag: str
    modified: str
    sha256: str
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def stored(self) -> Stored:
        """Return the object as the bucket listed it."""
        return Stored(self.key, self.size_bytes, self.etag, datetime.fromisoformat(self.modified), metadata=self.metadata)

    @property
    def version(self) -> str:
        """Return what changes whenever the object does."""
        return version_of(self.size_bytes, self.etag, self.modified)


def version_of(size_bytes: int, etag: str, modified: str) -> str:
    """Return what changes whenever an object does."""
    return f"{size_bytes} {etag} {modified}"


def object_name(sha256: str) -> str:
    """Return the name of the file with this content."""
    return f"{OBJECTS}{sha256[:2]}/{sha256}"


def folder_of(name: str) -> str:
    """Return the folder of a backup."""
    return f"{FOLDER}{name}/"


def names_in(place: Place) -> tuple[list[str], list[str]]:
    """Return the names of the complete backups and of the incomplete ones, oldest first."""
    found: dict[str, bool] = {}
    for file in place.names(FOLDER):
        name, _, rest = file.removeprefix(FOLDER).partition("/")
        if NAME.fullmatch(name):
            found[name] = found.get(name, False) or rest == MANIFEST
    return sorted(name for name in found if found[name]), sorted(name for name in found if not found[name])


def chosen(place: Place, name: str | None = None) -> Manifest:
    """Return the manifest of a backup, by default the newest. Raises NotFound, naming those that there are."""
    complete, _ = names_in(place)
    if not complete:
        raise NotFound(f"There is no complete backup in {place.shown}. Make one: bulkhead backup {place.shown}")
    if name is not None and name not in complete:
        raise NotFound(f"There is no complete backup {name} in {place.shown}. There are: {', '.join(complete)}")
    return manifest_in(place, name or complete[-1])


def manifest_in(place: Place, name: str) -> Manifest:
    """Return the manifest of a backup. Raises InternalInconsistency, or InvalidRequest if it is of a newer release."""
    text = b"".join(place.read(folder_of(name) + MANIFEST))
    try:
        said = json.loads(text)
        if said["format"] > FORMAT:
            raise InvalidRequest(f"Backup {name} was made by a newer release (Bulkhead {said['bulkhead']}). Use that one.")
        database, objects = said["database"], said["objects"]
        return Manifest(
            **{key: said[key] for key in ("name", "taken_at", "finished_at", "bulkhead", "format")},
            database=Database(**database | {"dump": Written(**database["dump"]), "roles": tuple(database["roles"])}),
            objects=Objects(**objects | {"list": Written(**objects["list"])}),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InternalInconsistency(f"The manifest of backup {name} in {place.shown} is damaged: {error!r}.") from error


def manifest_text(manifest: Manifest) -> bytes:
    """Return the text of a manifest."""
    return (json.dumps(manifest.to_json(), indent=2) + "\n").encode()


def as_line(entry: Entry) -> str:
    """Return an entry as a line of the list of objects."""
    return json.dumps(asdict(entry))


def entry_of(line: str | bytes) -> Entry:
    """Return the entry of such a line."""
    return Entry(**json.loads(line))


def list_text(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the compressed list of objects in chunks."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=3, mtime=0) as packed:
        for number, entry in enumerate(entries, 1):
            packed.write(as_line(entry).encode() + b"\n")
            if number % _LINES_AT_ONCE == 0:
                yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.BytesIO) -> bytes:
    chunk = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return chunk


def entries_in(place: Place, name: str) -> Iterator[Entry]:
    """Yield the objects of a backup. Raises InternalInconsistency if the list is damaged."""
    raw = io.BufferedReader(_Raw(place.read(folder_of(name) + LIST)), 1 << 20)
    try:
        with gzip.GzipFile(fileobj=raw) as lines:
            for line in lines:
                yield entry_of(line)
    except (ValueError, TypeError, EOFError, gzip.BadGzipFile) as error:
        raise InternalInconsistency(f"The list of objects of backup {name} in {place.shown} is damaged: {error!r}.") from error


class _Raw(io.RawIOBase):
    """Chunks as a raw stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        self._left = self._left or next(self._chunks, b"")
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size
