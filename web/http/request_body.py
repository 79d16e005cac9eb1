"""Read a request's body as a stream of chunks, and check its length, its limit and its Content-Digest (RFC 9530) on the way.

Any error is raised before the end of the stream is returned, so that code which stores the stream never stores half a file.
The body is kept neither in memory nor on disk.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData
from werkzeug.sansio.multipart import State as At

from pipeline.adapters.s3 import Readable
from web.http.problems import Problem

CHUNK_BYTES = 256 << 10
FIELD_BYTES_MAX = 64 << 10
"""A form's other fields, and the headers of its parts, are short."""

PASTED = "pasted"
PASTED_NAME = "pasted.tsv"
PASTED_BYTES_MAX = 4 << 20
"""Rows that were pasted from a spreadsheet into a field of the form: all the memory that a request of a form may take."""

PARTS_MAX = 50

_SHA256 = re.compile(r"(?i)(?:^|,)\s*sha-256\s*=\s*:([^:]*):")


def chunks_of(stream: Readable, *, content_length: int | None, bytes_max: int, sha256: bytes | None = None) -> Iterator[bytes]:
    """Yield the body's chunks. Raises Problem if it ends early, is too large, or does not match ``sha256``."""
    digest, count = hashlib.sha256(), 0
    while chunk := _next_chunk(stream, CHUNK_BYTES if content_length is None else content_length - count):
        count += len(chunk)
        if count > bytes_max:
            raise too_large(bytes_max)
        if sha256 is not None:
            digest.update(chunk)
        yield chunk
    if count < (content_length or 0):
        raise Problem(
            "broken_upload",
            f"The body ended after {count:,} of the {content_length:,} bytes that Content-Length announced."
            " Nothing of it was kept; send the file again.",
        )
    if sha256 is not None and digest.digest() != sha256:
        raise Problem(
            "damaged_upload",
            "The body's SHA-256 is not the one that Content-Digest gives. Nothing of it was kept; send the file again.",
        )


def _next_chunk(stream: Readable, left: int) -> bytes:
    """Read one chunk. Raises Problem for any error: servers differ in what they raise for a lost, slow or broken client."""
    try:
        return stream.read(min(CHUNK_BYTES, left)) if left else b""
    except Exception as error:
        raise Problem("broken_upload", "The upload was interrupted. Nothing of it was kept; send the file again.") from error


def too_large(bytes_max: int) -> Problem:
    """Return the problem of a body over the limit."""
    return Problem("too_large", f"The body is too large. The limit is {bytes_max:,} bytes.")


def content_digest(header: str | None) -> bytes | None:
    """Return the SHA-256 of a Content-Digest header (RFC 9530); None if it has none. Raises Problem if it is invalid."""
    match = _SHA256.search(header or "")
    if match is None:
        return None
    try:
        digest = base64.b64decode(match[1], validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise Problem("bad_request", "Invalid Content-Digest. Send sha-256=:<base64 of its 32 bytes>:")
    return digest


class Form:
    """A multipart form with one file, parsed as it arrives: the fields before the file, the file's chunks, the fields after it.

    ``fields`` has the latter once the chunks have been read.
    """

    def __init__(self, chunks: Iterator[bytes], boundary: str) -> None:
        if not 0 < len(boundary) <= 200:
            raise Problem("not_a_form", "The Content-Type of the form has no valid boundary.")
        self._chunks = chunks
        self._decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), max_parts=PARTS_MAX)
        self._events = self._read_events()
        self.fields: dict[str, str] = {}
        self.filename = self._find_file()

    def _find_file(self) -> str:
        """Read up to the first file, and return its name. Raises Problem if there is none."""
        for event in self._events:
            if isinstance(event, Field):
                self.fields[event.name] = self._text_of_field(event.name)
            elif isinstance(event, File):
                return event.filename
            elif isinstance(event, Epilogue):
                break
        if self.fields.get(PASTED, "").strip():
            return ""
        raise Problem("no_file", "The form has no file. Send one as multipart/form-data, with a filename.")

    def _text_of_field(self, name: str) -> str:
        text, bytes_max = bytearray(), PASTED_BYTES_MAX if name == PASTED else FIELD_BYTES_MAX
        for event in self._events:
            if isinstance(event, Data):
                text += event.data
                if len(text) > bytes_max:
                    raise Problem("not_a_form", f"The field {name!r} of the form is longer than {bytes_max:,} bytes.")
                if not event.more_data:
                    break
        return text.decode("utf-8", "replace")

    def file_or_pasted(self) -> tuple[str, Iterator[bytes]]:
        """Return the file's name and chunks; if none was chosen, those of the pasted text, with all fields read."""
        if self.filename:
            return self.filename, self.file_chunks()
        for first in self.file_chunks():
            return self.filename, itertools.chain([first], self.file_chunks())
        pasted = self.fields.get(PASTED, "").replace("\r\n", "\n")
        return (PASTED_NAME, iter([pasted.encode()])) if pasted.strip() else (self.filename, iter(()))

    def file_chunks(self) -> Iterator[bytes]:
        """Yield the file's bytes, then read the rest of the form, fields too. Raises Problem for a second file."""
        for event in self._events:
            if isinstance(event, Data):
                if event.data:
                    yield event.data
                if not event.more_data:
                    break
        for event in self._events:
            if isinstance(event, Field):
                self.fields[event.name] = self._text_of_field(event.name)
            elif isinstance(event, File) and (event.filename or self._has_bytes()):
                raise Problem("two_files", f"The form has a second file, {event.filename!r}. Send one request for each file.")

    def _has_bytes(self) -> bool:
        """Return whether the present file has bytes; an empty file field of a browser arrives as a file without any."""
        for event in self._events:
            if isinstance(event, Data):
                if event.data:
                    return True
                if not event.more_data:
                    break
        return False

    def _read_events(self) -> Iterator[Event]:
        while True:
            event = self._next_event()
            if isinstance(event, NeedData):
                self._check_held()
                # None: the end of the stream
                self._decoder.receive_data(next(self._chunks, None))
                continue
            yield event
            if isinstance(event, Epilogue):
                return

    def _next_event(self) -> Event:
        try:
            return self._decoder.next_event()
        except RequestEntityTooLarge as error:
            raise Problem("not_a_form", f"The form has more than {PARTS_MAX} parts.") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise Problem(
                "broken_upload" if self._decoder.complete else "not_a_form",
                "The form is invalid or incomplete: a part has no header, or the closing boundary is missing."
                " Nothing of it was kept; send it again.",
            ) from error

    def _check_held(self) -> None:
        """Raise Problem if the decoder buffers too much: outside the data of a part it needs to hold very little."""
        if self._decoder.state not in (At.DATA, At.DATA_START) and len(self._decoder.buffer) > FIELD_BYTES_MAX + CHUNK_BYTES:
            raise Problem("not_a_form", "The form has no boundary where one is expected, or its headers are too long.")


DRAIN_BYTES_MAX = 64 << 20
DRAIN_SECONDS = 3.0


def drain(environ: dict[str, Any]) -> None:
    """Read and discard the rest of a refused request for a while.

    A client whose connection is closed while it sends reports a broken connection, and never reads the answer.
    """
    socket, stream = environ.get("gunicorn.socket"), environ["wsgi.input"]
    if socket is None:
        return
    deadline, drained = time.monotonic() + DRAIN_SECONDS, 0
    with suppress(Exception):  # the client has disconnected or sends invalid data: an answer cannot help it
        while drained < DRAIN_BYTES_MAX and (left := deadline - time.monotonic()) > 0:
            socket.settimeout(left)
            chunk = stream.read(CHUNK_BYTES)
            if not chunk:
                break
            drained += len(chunk)
    with suppress(OSError):
        socket.settimeout(None)
