"""Move the bytes of files to and from S3 in constant memory: streams and files in, ranges and chunks out.

If a transfer breaks off, the multipart upload behind it is aborted, so that nothing incomplete stays.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from pipeline.adapters.s3_bucket import READ_SECONDS
from pipeline.adapters.s3_errors import NotThere, not_there, s3_errors, status_of
from pipeline.adapters.s3_objects import Objects, Stored, stored_from
from pipeline.errors import FileReplaced, Unreachable
from pipeline.units import MIB

if TYPE_CHECKING:
    from botocore.response import StreamingBody

CHUNK_BYTES = 8 * MIB
"""The size of one part of a multipart upload. S3 allows 10,000 of them, which makes 78 GiB; the upload limit is below that."""

CHUNKS_HELD = 4
"""Chunks of one upload that may be in memory at once, beside the one being read."""

RANGE_BYTES = 16 * MIB
"""The size of one ranged GET: one GET of a whole gigabyte makes SeaweedFS hold it in memory, and cannot be resumed."""

RANGES_AT_ONCE = 2

PIECE_BYTES = MIB // 4
"""What of a range is in memory at once. Larger blocks would be fresh memory each time, which costs as much as the copying."""

FILES_AT_ONCE = 4
"""How many files of a folder are stored at once."""

WAIT_SECONDS = 1.0
"""How often a step that waits for S3 checks whether it is to stop."""


class Readable(Protocol):
    """Anything with a ``read``. If it raises, nothing is stored."""

    def read(self, size: int = -1, /) -> bytes: ...


class _Counted:
    """A stream that counts and digests what is read from it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._digest.update(data)
        self.size_bytes += len(data)
        return data

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class Transfers(Objects):
    """The methods of a bucket that move the bytes of files."""

    def put_stream(
        self, key: str, stream: Readable, *, metadata: Mapping[str, str] | None = None, content_type: str | None = None
    ) -> Stored:
        """Store a stream until its end, in constant memory (about 6 chunks).

        If ``stream.read`` raises, the multipart upload is aborted, nothing is stored, and the error is raised again.
        """
        counted = _Counted(stream)
        config = TransferConfig(
            multipart_threshold=CHUNK_BYTES,
            multipart_chunksize=CHUNK_BYTES,
            max_concurrency=2,
            max_io_queue=4,
        )
        config.max_in_memory_upload_chunks = CHUNKS_HELD  # boto3 holds ten unless told otherwise
        with s3_errors():
            self._s3.upload_fileobj(
                cast("IO[bytes]", counted),
                self.bucket,
                key,
                ExtraArgs={"Metadata": dict(metadata or {})} | ({"ContentType": content_type} if content_type else {}),
                Config=config,
            )
        there = self.head(key)
        etag = there.etag if there else ""
        return Stored(key, counted.size_bytes, etag, there.modified if there else None, sha256=counted.sha256)

    def put_file(
        self, key: str, path: Path, *, content_type: str | None = None, beat: Callable[[int], None] | None = None
    ) -> None:
        """Store a file. ``beat`` is given the bytes of each piece, in threads of boto3; if it raises, nothing is stored."""
        kind = content_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with s3_errors():
            callback = _RaisesOnce(beat, path.stat().st_size) if beat else None
            self._s3.upload_file(str(path), self.bucket, key, ExtraArgs={"ContentType": kind}, Callback=callback)

    def put_files(self, files: Sequence[tuple[str, Path]], *, beat: Callable[[], None]) -> None:
        """Store files, given as (key, path), several at once. If ``beat`` raises, no further file is begun."""
        with _stoppable(FILES_AT_ONCE) as (pool, stop):

            def put(key: str, path: Path) -> None:
                self.put_file(key, path, beat=lambda _: _raise_if(stop))

            _all_of({pool.submit(put, key, path) for key, path in files}, beat)

    def put_bytes(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Store a small object."""
        with s3_errors():
            self._s3.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type, Metadata=metadata or {})

    def get_file(self, key: str, path: Path, *, etag: str | None = None, beat: Callable[[int], None] | None = None) -> Stored:
        """Download to ``path`` by ranges and compute the SHA-256 on the way; ``beat`` is given the bytes so far.

        Raises NotThere, or FileReplaced if the object's ETag is not (or no longer) ``etag``.
        """
        there = self.head(key)
        if there is None:
            raise NotThere(self._missing(key))
        digest, done = hashlib.sha256(), 0
        with path.open("w+b") as file, _stoppable(RANGES_AT_ONCE) as (pool, stop):
            firsts = range(0, there.size_bytes, RANGE_BYTES)
            ends = [min(first + RANGE_BYTES, there.size_bytes) for first in firsts]
            fetch = partial(self._fetch_range, key, etag or there.etag, path, stop)
            fetched = [pool.submit(fetch, first, end) for first, end in zip(firsts, ends, strict=True)]
            for one, end in zip(fetched, ends, strict=True):
                _all_of({one}, partial(beat, done) if beat else lambda: None)
                while piece := os.pread(file.fileno(), min(PIECE_BYTES, end - done), done):  # from memory: it was just written
                    digest.update(piece)
                    done += len(piece)
                if beat:
                    beat(done)
        if etag and there.etag != etag:
            raise FileReplaced
        return Stored(key, done, there.etag, there.modified, there.content_type, digest.hexdigest())

    def _fetch_range(self, key: str, etag: str, path: Path, stop: threading.Event, first: int, end: int) -> int:
        """Write a range of an object to its place in a file, piece by piece."""
        at = first
        with (
            s3_errors(),
            path.open("r+b") as file,
        ):  # a handle of its own: a thread that nothing waits for may go on for a moment
            for piece in self._range(key, etag, first, end - 1).iter_chunks(PIECE_BYTES):
                _raise_if(stop)
                left = memoryview(piece)
                while left:  # a disk that is nearly full takes a part of it, and then says so
                    written = os.pwrite(file.fileno(), left, at)
                    left, at = left[written:], at + written
        if at != end:
            raise Unreachable(f"S3 gave {at - first:,} bytes of {key} where it has {end - first:,}.")
        return end

    def get_range(self, key: str, first: int, last: int, etag: str) -> bytes:
        """Return the bytes ``first`` to ``last`` (inclusive) of an object. Raises FileReplaced if its ETag is not ``etag``."""
        with s3_errors():
            data: bytes = self._range(key, etag, first, last).read()
            return data

    def ranges(self, stored: Stored) -> Iterator[bytes]:
        """Yield the bytes of an object by ranges, in constant memory. Raises NotThere, or FileReplaced if it is another now."""
        for first in range(0, stored.size_bytes, RANGE_BYTES):
            last = min(first + RANGE_BYTES, stored.size_bytes) - 1
            with s3_errors(), not_there(self._missing(stored.key)):
                piece = self._range(stored.key, stored.etag, first, last).read()
            yield piece

    def _range(self, key: str, etag: str, first: int, last: int) -> StreamingBody:
        try:
            got = self._s3.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={first}-{last}", IfMatch=f'"{etag}"')
        except ClientError as error:
            if status_of(error) == 412:
                raise FileReplaced from error
            raise
        return got["Body"]

    def get_bytes(self, key: str) -> bytes:
        """Return a small object, whole. Raises NotThere."""
        chunks, _ = self.stream(key)
        return b"".join(chunks)

    def stream(self, key: str) -> tuple[Iterator[bytes], Stored]:
        """Return an object's bytes in chunks, and its description. Raises NotThere."""
        with s3_errors(), not_there(self._missing(key)):
            got = self._quick.get_object(Bucket=self.bucket, Key=key)
        if got["ContentLength"] > MIB and self._quick is not self._s3:
            got["Body"].set_socket_timeout(READ_SECONDS)
        return _chunks(got["Body"]), stored_from(key, got)


class _Stopped(Exception):
    """Ends what is under way in other threads, since its result is no longer wanted."""


class _RaisesOnce:
    """Passes the bytes of an upload on to ``beat``, and raises its error once.

    boto3 calls it a last time when it closes the file, which would stay open if that raised.
    """

    def __init__(self, beat: Callable[[int], None], size_bytes: int) -> None:
        self._beat, self._left, self._is_over = beat, size_bytes, False

    def __call__(self, count: int) -> None:
        self._left -= count
        if self._is_over or self._left <= 0:
            return
        try:
            self._beat(count)
        except BaseException:
            self._is_over = True
            raise


def _raise_if(stop: threading.Event) -> None:
    if stop.is_set():
        raise _Stopped


@contextmanager
def _stoppable(threads: int) -> Iterator[tuple[ThreadPoolExecutor, threading.Event]]:
    """Provide threads, and the event that tells them to end early: it is set if the block raises."""
    stop, pool = threading.Event(), ThreadPoolExecutor(threads)
    try:
        yield pool, stop
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _all_of(under_way: set[Future[Any]], beat: Callable[[], None]) -> None:
    """Wait for all futures, calling ``beat`` meanwhile. Raises what one of them, or ``beat``, raised."""
    while under_way:
        over, under_way = wait(under_way, timeout=WAIT_SECONDS, return_when=FIRST_COMPLETED)
        for one in over:
            one.result()
        beat()


def _chunks(body: StreamingBody) -> Iterator[bytes]:
    with s3_errors():
        yield from body.iter_chunks(1 * MIB)
