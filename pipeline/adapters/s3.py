"""S3: the only module that speaks to it. Objects go in and out in constant memory; nothing half-written stays."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol, cast
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
)

from pipeline.adapters.liveness import Liveness
from pipeline.errors import FileReplaced, SystemFault, Unreachable
from pipeline.settings import Settings
from pipeline.units import MIB

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, ObjectIdentifierTypeDef

CHUNK_BYTES = 8 * MIB
"""Size of one multipart chunk. S3 allows 10,000 of them, which makes 78 GiB; the upload limit lies below that."""

CHUNKS_HELD = 4
"""Chunks of one upload that may be in memory at once, beside the one being read."""

RANGE_BYTES = 16 * MIB
"""Downloads go by ranges: one GET of a whole gigabyte makes SeaweedFS hold it in memory, and cannot be resumed."""

RANGES_AT_ONCE = 2
READ_SECONDS = 60
"""For so long S3 may say nothing while it takes a file in, or gives one out."""

PIECE_BYTES = MIB // 4
"""What of a range is in memory at once. Larger blocks would be fresh memory each time, which costs as much as the copying."""


READ_SECONDS = 30
"""S3 may say nothing for so long before the request is tried again."""

FILES_AT_ONCE = 4
"""Of a folder that is stored."""

WAIT_SECONDS = 1.0
"""How often a step that waits for S3 looks whether it is to stop."""

TRANSIENT_STATUS = (408, 409, 423, 425, 429)
"""Beside those from 500: too slow, in conflict with another request, locked, too early, too many."""

TRANSIENT_CODES = (
    *("RequestTimeout", "RequestTimeoutException", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"),
    *("RequestLimitExceeded", "RequestThrottled", "BandwidthLimitExceeded", "ServiceUnavailable", "InternalError"),
    *("OperationAborted", "ExpiredToken", "PriorRequestNotComplete"),
)
"""S3's names for what passes by itself, whatever the status."""

_SETUP_ERRORS = (NoCredentialsError, PartialCredentialsError, ParamValidationError)
"""What boto3 raises before it asks S3 at all."""


class NotThere(LookupError):
    """There is no such object."""


class NotWhole(ValueError):
    """S3 does not make an object of these parts: one is missing, too small, out of order or has another ETag."""


class Readable(Protocol):
    """Anything with a ``read``; it may raise, and then nothing is stored."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Stored:
    """One object as S3 tells of it. ``sha256`` is known only to whoever moved the bytes; otherwise it is empty."""

    key: str
    size_bytes: int
    etag: str
    modified: datetime | None = None
    content_type: str = "application/octet-stream"
    sha256: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)  # what was said of it when it was stored; only head knows


@dataclass(frozen=True)
class Part:
    """One part of a multipart upload, as S3 keeps it. ``etag`` is without quotes."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True)
class OpenUpload:
    """A multipart upload that has not come to its end."""

    key: str
    upload_id: str
    begun: datetime


class _Counted:
    """A stream that counts and digests what is read from it, and remembers why it broke."""

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


class _SilentError(BotoCoreError):
    """S3 answers nothing, so that nothing is sent; not retried."""

    fmt = "S3 does not answer"


class Store:
    """One bucket. Safe to share between threads.

    Every method raises Unreachable when S3 does not answer or is overloaded (boto3 has by then retried by itself), SystemFault
    when it refuses the request (a right, a bucket or credentials are missing). With
    ``answer_seconds``, for people who wait, it does so after that time without a second attempt where S3 is silent, and at
    once while S3 is known to be; only what moves the bytes of files may take longer (READ_SECONDS without a byte).
    """

    def __init__(
        self,
        bucket: str,
        *,
        endpoint: str | None = None,
        public_endpoint: str | None = None,
        region: str = "us-east-1",
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
        answer_seconds: float | None = None,
        attempts: int = 5,
    ) -> None:
        self.bucket = bucket

        def client(
            address: str | None, style: Literal["auto", "virtual"] = "auto", *, seconds: float | None = None
        ) -> S3Client:
            return boto3.client(
                "s3",
                endpoint_url=address,
                region_name=region,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret_key,
                aws_session_token=session_token,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path" if address else style},
                    connect_timeout=seconds or 5,
                    read_timeout=seconds or READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": 3 if seconds else attempts},
                    max_pool_connections=20,
                ),
            )

        self._s3 = self._quick = client(endpoint)
        self._prober: Callable[[], S3Client] = lambda: client(endpoint, seconds=1.0)
        self.pulse = Liveness(self._answers)
        if answer_seconds is not None:
            self._quick = client(endpoint, seconds=answer_seconds)
            self._give_up_when_silent(answer_seconds)
        # The signer speaks to nobody. In AWS it names the bucket's region: no browser follows S3 there from another address.
        is_same = endpoint and not public_endpoint
        self._signer = self._s3 if is_same else client(public_endpoint, "auto" if "." in bucket else "virtual")

    @cached_property
    def _probing(self) -> S3Client:
        return self._prober()

    def _answers(self) -> bool:
        """Whether all is well with S3. Raises TimeoutError where it says nothing."""
        try:
            self._probing.head_object(Bucket=self.bucket, Key="readyz")
        except (ReadTimeoutError, ConnectTimeoutError) as error:
            raise TimeoutError from error
        except ClientError as error:
            return _status(error) == 404
        return True

    def _give_up_when_silent(self, answer_seconds: float) -> None:
        """Have both clients tell of time-outs, and send nothing to an S3 that is silent."""

        def refuse(**_: Any) -> None:
            if self.pulse.silent:
                raise _SilentError

        def note(caught_exception: Exception | None = None, **_: Any) -> None:
            if isinstance(caught_exception, ReadTimeoutError | ConnectTimeoutError):
                self.pulse.suspect()

        def give_up(caught_exception: Exception | None = None, **_: Any) -> None:
            if isinstance(caught_exception, ReadTimeoutError | ConnectTimeoutError):
                self.pulse.suspect(waited=answer_seconds)
                raise caught_exception

        for s3, after in ((self._s3, note), (self._quick, give_up)):
            events: Any = s3.meta.events
            events.register("before-send.s3", refuse)
            events.register_first("needs-retry.s3", after)

    def must_answer(self) -> None:
        """Raises Unreachable unless S3 answers; ask it before a file is sent in vain."""
        self.head("readyz")

    @classmethod
    def of(cls, settings: Settings, *, answer_seconds: float | None = None) -> Store:
        """The store that the settings name."""
        return cls(
            settings.bucket,
            endpoint=settings.s3_endpoint,
            public_endpoint=settings.public_s3_endpoint,
            region=settings.s3_region,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            session_token=settings.s3_session_token,
            answer_seconds=answer_seconds,
        )

    # --- in ---

    def put_stream(self, key: str, stream: Readable, *, metadata: Mapping[str, str] | None = None) -> Stored:
        """Store what ``stream`` gives until it ends, in constant memory (about 6 chunks).

        If ``stream.read`` raises, the multipart upload is aborted, nothing is stored, and the error goes on.
        """
        counted = _Counted(stream)
        config = TransferConfig(
            multipart_threshold=CHUNK_BYTES,
            multipart_chunksize=CHUNK_BYTES,
            max_concurrency=2,
            max_io_queue=4,
        )
        config.max_in_memory_upload_chunks = CHUNKS_HELD  # boto3 holds ten unless told otherwise
        with _unreachable():
            self._s3.upload_fileobj(
                cast("IO[bytes]", counted),
                self.bucket,
                key,
                ExtraArgs={"Metadata": dict(metadata or {})},
                Config=config,
            )
        there = self.head(key)
        etag = there.etag if there else ""
        return Stored(key, counted.size_bytes, etag, there.modified if there else None, sha256=counted.sha256)

    def put_file(
        self, key: str, path: Path, *, content_type: str | None = None, beat: Callable[[int], None] | None = None
    ) -> None:
        """Store a file. ``beat`` hears of each piece's bytes, in threads of boto3's; if it raises, nothing is stored."""
        kind = content_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with _unreachable():
            told = _ToldOnce(beat, path.stat().st_size) if beat else None
            self._s3.upload_file(str(path), self.bucket, key, ExtraArgs={"ContentType": kind}, Callback=told)

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
        with _unreachable():
            self._s3.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=content_type, Metadata=metadata or {})

    def copy(self, key: str, to: str, *, metadata: Mapping[str, str] | None = None) -> Stored:
        """Put a copy of an object at ``to``, inside S3, with ``metadata`` in place of its own. Raises NotThere."""
        there = self.head(key)
        if there is None:
            raise NotThere(f"There is no object {key!r} in the bucket {self.bucket!r}.")
        with _unreachable():
            try:
                own = {
                    "ContentType": there.content_type,
                    "Metadata": dict(metadata or {}),
                    "MetadataDirective": "REPLACE",
                }
                self._s3.copy({"Bucket": self.bucket, "Key": key}, self.bucket, to, ExtraArgs=own)
            except ClientError as error:
                if _status(error) == 404:  # it went meanwhile
                    raise NotThere(f"There is no object {key!r} in the bucket {self.bucket!r}.") from error
                raise
        return replace(there, key=to, etag=getattr(self.head(to), "etag", ""), metadata=dict(metadata or {}))

    def copy_whole(self, key: str, to: str) -> None:
        """The same by one request, which S3 takes for up to 5 GB. Raises NotThere."""
        with _unreachable():
            try:
                self._s3.copy_object(CopySource={"Bucket": self.bucket, "Key": key}, Bucket=self.bucket, Key=to)
            except ClientError as error:
                if _status(error) == 404:
                    raise NotThere(f"There is no object {key!r} in the bucket {self.bucket!r}.") from error
                raise

    # --- out ---

    def get_file(self, key: str, path: Path, *, etag: str | None = None, beat: Callable[[int], None] | None = None) -> Stored:
        """Download to ``path`` by ranges, telling ``beat`` the bytes so far; SHA-256 on the way.

        Raises NotThere, or FileReplaced if the object's ETag is not (or no longer) ``etag``.
        """
        there = self.head(key)
        if there is None:
            raise NotThere(f"There is no object {key!r} in the bucket {self.bucket!r}.")
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
        """Write a range of an object to where it belongs in a file, piece by piece."""
        at = first
        with _unreachable(), path.open("r+b") as file:  # of its own: a thread that is not waited for may go on for a moment
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
        """Bytes ``first`` to ``last`` (both included) of an object. Raises FileReplaced if its ETag is not ``etag``."""
        with _unreachable():
            data: bytes = self._range(key, etag, first, last).read()
            return data

    def _range(self, key: str, etag: str, first: int, last: int) -> StreamingBody:
        try:
            got = self._s3.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={first}-{last}", IfMatch=f'"{etag}"')
        except ClientError as error:
            if _status(error) == 412:
                raise FileReplaced from error
            raise
        return got["Body"]

    def get_bytes(self, key: str) -> bytes:
        """A small object, whole. Raises NotThere."""
        chunks, _ = self.stream(key)
        return b"".join(chunks)

    def stream(self, key: str) -> tuple[Iterator[bytes], Stored]:
        """An object's bytes in chunks, and what it is. Raises NotThere."""
        with _unreachable():
            try:
                got = self._quick.get_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if _status(error) == 404:
                    raise NotThere(f"There is no object {key!r} in the bucket {self.bucket!r}.") from error
                raise
        if got["ContentLength"] > MIB and self._quick is not self._s3:
            got["Body"].set_socket_timeout(READ_SECONDS)
        return _chunks(got["Body"]), _stored(key, got)

    # --- about ---

    def head(self, key: str) -> Stored | None:
        """What lies at ``key``, or None."""
        with _unreachable():
            try:
                return _stored(key, self._quick.head_object(Bucket=self.bucket, Key=key))
            except ClientError as error:
                if _status(error) == 404:
                    return None
                raise

    def list(self, prefix: str) -> Iterator[Stored]:
        """The objects under ``prefix``, in the order of their keys."""
        for page in self.pages(prefix):
            yield from page

    def pages(self, prefix: str, *, after: str = "") -> Iterator[Sequence[Stored]]:
        """The objects under ``prefix``, in the order of their keys, at most 1,000 at once; only those ``after`` that key."""
        listing = self._s3.get_paginator("list_objects_v2")
        with _unreachable():
            for page in listing.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=after):
                items = page.get("Contents", [])
                if items:
                    yield [Stored(i["Key"], i["Size"], i["ETag"].strip('"'), i["LastModified"]) for i in items]

    def folders(self, prefix: str) -> Iterator[Sequence[str]]:
        """The prefixes one slash below ``prefix``, at most 1,000 at once."""
        with _unreachable():
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/"):
                if found := [one["Prefix"] for one in page.get("CommonPrefixes", [])]:
                    yield found

    def delete(self, key: str) -> None:
        """Remove an object; no error if it is not there."""
        with _unreachable():
            self._quick.delete_object(Bucket=self.bucket, Key=key)

    def delete_if(self, stored: Stored) -> bool:
        """Remove an object if it is still the one that was listed; False if it is another by now, or gone."""
        with _unreachable():
            try:
                self._s3.delete_object(Bucket=self.bucket, Key=stored.key, IfMatch=f'"{stored.etag}"')
            except ClientError as error:
                if _status(error) in (404, 409, 412):
                    return False
                raise
        return True

    def delete_prefix(self, prefix: str) -> int:
        """Remove all objects under ``prefix``, 1,000 at once; how many there were. Raises Unreachable if some stay."""
        count = 0
        for page in self.pages(prefix):
            with _unreachable():
                wanted: list[ObjectIdentifierTypeDef] = [{"Key": stored.key} for stored in page]
                done = self._s3.delete_objects(Bucket=self.bucket, Delete={"Objects": wanted, "Quiet": True})
            if errors := done.get("Errors"):
                raise Unreachable(f"S3 does not remove {errors[0].get('Key')}: {errors[0].get('Message')}")
            count += len(page)
        if prefix.endswith("/"):
            self.delete_folder(prefix)
        return count

    def delete_folder(self, prefix: str) -> None:
        """Have SeaweedFS forget a folder in which nothing is any more; if something is, it stays. Elsewhere there are none."""
        for page in [*self.folders(prefix)]:
            for folder in page:
                self.delete_folder(folder)
        self.delete(prefix)

    def uploads(self, prefix: str) -> Iterator[Sequence[OpenUpload]]:
        """The multipart uploads under way to keys under ``prefix``, at most 1,000 at once."""
        with _unreachable():
            for page in self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=prefix):
                if found := page.get("Uploads", []):
                    yield [OpenUpload(one["Key"], one["UploadId"], one["Initiated"]) for one in found]

    def last_heard(self, upload: OpenUpload) -> datetime:
        """When it last grew."""
        last = upload.begun
        with _unreachable():
            try:
                pages = self._s3.get_paginator("list_parts").paginate(
                    Bucket=self.bucket, Key=upload.key, UploadId=upload.upload_id
                )
                for page in pages:
                    last = max([last, *(part["LastModified"] for part in page.get("Parts", []))])
            except ClientError as error:
                if _status(error) != 404:  # it has come to its end meanwhile
                    raise
        return last

    def abort(self, key: str, upload_id: str) -> None:
        """Give up a multipart upload, and what it brought; no error if it has come to its end."""
        with _unreachable():
            try:
                self._quick.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
            except ClientError as error:
                if _status(error) != 404:
                    raise

    # --- by somebody else's hands: who holds the address may do that one thing, without a key of S3's ---

    def begin_upload(self, key: str, *, metadata: Mapping[str, str] | None = None) -> str:
        """Open a multipart upload; its id."""
        with _unreachable():
            return self._quick.create_multipart_upload(Bucket=self.bucket, Key=key, Metadata=metadata or {})["UploadId"]

    def sign_part(self, key: str, upload_id: str, number: int, *, seconds: int) -> str:
        """The address to which a part can be PUT for so long. Asks nobody: whether the upload exists, the PUT will show."""
        asked = {"Bucket": self.bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        return self._signer.generate_presigned_url("upload_part", Params=asked, ExpiresIn=seconds)

    @cached_property
    def public_origin(self) -> str:
        """Scheme, host and port of the addresses that are signed; empty where nothing can be signed."""
        try:
            signed = urlsplit(self.sign_part("x", "x", 1, seconds=1))
        except BotoCoreError:  # there are no credentials
            return ""
        return f"{signed.scheme}://{signed.netloc}"

    def sign_form(
        self, key: str, *, bytes_max: int, seconds: int, metadata: Mapping[str, str] | None = None
    ) -> tuple[str, dict[str, str]]:
        """The address and the fields of a form with which one file can be POSTed to ``key``; S3 itself refuses a larger one.

        ``metadata`` is among the fields, and signed with them: S3 refuses the form without it, or with another.
        """
        fields = {f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()}
        conditions = [["content-length-range", 1, bytes_max], *({name: value} for name, value in fields.items())]
        form = self._signer.generate_presigned_post(self.bucket, key, Fields=fields, Conditions=conditions, ExpiresIn=seconds)
        return form["url"], dict(form["fields"])

    def parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """The parts that S3 has, in their order. Raises NotThere if the upload has come to its end."""
        asked = self._quick.get_paginator("list_parts")
        with _unreachable(), _not_there(f"There is no upload {upload_id!r} to {key!r}."):
            pages = asked.paginate(Bucket=self.bucket, Key=key, UploadId=upload_id)
            found = [part for page in pages for part in page.get("Parts", [])]
        return [Part(one["PartNumber"], one["Size"], one["ETag"].strip('"')) for one in found]

    def complete(self, key: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> None:
        """Make an object of these parts, given as (number, ETag).

        Raises NotThere if the upload has come to its end, NotWhole if S3 refuses the parts.
        """
        wanted: list[CompletedPartTypeDef] = [{"PartNumber": number, "ETag": f'"{etag}"'} for number, etag in parts]
        with _unreachable(), _not_there(f"There is no upload {upload_id!r} to {key!r}."):
            try:
                self._s3.complete_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": wanted}
                )
            except ClientError as error:
                if _status(error) == 400:
                    raise NotWhole(str(error)) from error
                raise

    def ensure_bucket(self) -> None:
        """Create the bucket unless it is there."""
        with _unreachable():
            try:
                self._s3.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                if _status(error) != 404:
                    raise
                self._s3.create_bucket(Bucket=self.bucket)


def _stored(key: str, got: Any) -> Stored:
    kind = got.get("ContentType") or "application/octet-stream"
    said = got.get("Metadata") or {}
    return Stored(key, got["ContentLength"], got["ETag"].strip('"'), got["LastModified"], kind, metadata=said)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def _not_there(message: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if _status(error) == 404:
            raise NotThere(message) from error
        raise


class _Stopped(Exception):
    """Ends what is under way in other threads, since its result is not wanted any more."""


class _ToldOnce:
    """Passes the bytes of an upload on to ``beat``, whose error it raises once.

    boto3 calls it a last time as it closes the file, which would stay open if that raised.
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
    """Threads, and what tells those under way to end early: it is set if the block raises."""
    stop, pool = threading.Event(), ThreadPoolExecutor(threads)
    try:
        yield pool, stop
    except BaseException:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _all_of(under_way: set[Future[Any]], beat: Callable[[], None]) -> None:
    """Wait for all of them, calling ``beat`` meanwhile. Raises what one of them, or ``beat``, raised."""
    while under_way:
        over, under_way = wait(under_way, timeout=WAIT_SECONDS, return_when=FIRST_COMPLETED)
        for one in over:
            one.result()
        beat()


def _chunks(body: StreamingBody) -> Iterator[bytes]:
    with _unreachable():
        yield from body.iter_chunks(1 * MIB)


def _is_transient(error: ClientError) -> bool:
    status, code = _status(error), str(error.response.get("Error", {}).get("Code", ""))
    return status >= 500 or status in TRANSIENT_STATUS or code in TRANSIENT_CODES


class _unreachable:  # noqa: N801 - reads as a statement: with _unreachable(): ...
    """Turns what boto3 raises when S3 is away or overloaded into Unreachable, and a refusal into SystemFault."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, BotoCoreError | ClientError | Boto3Error):
            return
        answer = error
        if isinstance(error, Boto3Error) and isinstance(error.__context__, ClientError | BotoCoreError):
            answer = error.__context__  # S3UploadFailedError, around what S3 answered
        if isinstance(answer, _SETUP_ERRORS) or (isinstance(answer, ClientError) and not _is_transient(answer)):
            raise SystemFault(
                f"S3 refuses the request: {answer}. Check AWS_*, BULKHEAD_BUCKET and the bucket's rights."
            ) from error
        raise Unreachable(f"S3 does not answer as it should: {answer}") from error
