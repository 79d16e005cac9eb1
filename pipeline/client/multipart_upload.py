"""Upload a file in parts straight to S3: several at once, in constant memory, resumable after an interruption.

The server opens the multipart upload, presigns the URL of each part when it is needed, and completes the upload; only S3
receives the bytes. Each part is sent with its MD5, so that S3 rejects a damaged one. A part that fails is sent again with a new
signature. Until the upload is complete, its ResumeState is kept (resume_state.py).
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit

import requests
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_not_result,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
)
from tenacity.stop import stop_base

from pipeline.client import http, resume_state
from pipeline.client.http import ApiError, HttpClient, Sent, Sized
from pipeline.client.resume_state import ResumeState
from pipeline.errors import InvalidRequest, Unreachable

FROM_BYTES = 64 << 20
"""Smaller files are sent through the server: one request, whose SHA-256 is compared."""

PART_BYTES, PARTS_MAX = 8 << 20, 10_000
"""Parts are larger only if the file needs more than 10,000 of them, the limit of S3."""

PARTS_AT_ONCE = 4
ATTEMPTS, REFUSALS = 10, 3
PROBE_SECONDS, STOP_SECONDS = 5, 2

Tell = Callable[[str], None]
"""Called with a sentence for the user."""

_GONE = ("unknown_upload", "upload_over", "canceled_meanwhile")
_NO_ROUTE = ("", "not_found", "method_not_allowed")


class DirectUploadRefused(Exception):
    """The file cannot be uploaded straight to S3; no byte was sent. The message says why."""


class _Gone(Exception):
    """The multipart upload no longer exists; the message says why."""


class _Stopped(Exception):
    """This upload is being stopped: another part has failed for good, or the user interrupted it."""


def send_in_parts(
    api: HttpClient,
    file: Path,
    dataset: str,
    *,
    filename: str,
    options: Mapping[str, object],
    resume: bool,
    on_sent: Sent,
    tell: Tell,
) -> str:
    """Upload the file, or with ``resume`` the parts that S3 does not have yet, and return the id of the import.

    Raises DirectUploadRefused before any byte is sent, InvalidRequest if the file has changed, and what HttpClient.send raises;
    the upload can then be resumed.
    """
    known = resume_state.find(api.url, dataset, file)
    if resume and known:
        known.check()
        _check_options(known, filename, options)
        try:
            return _go_on(api, known, on_sent)
        except _Gone as gone:
            resume_state.forget(known)
            tell(f"The interrupted upload cannot be resumed: {gone} Starting again.")
    elif resume:
        tell(f"There is no interrupted upload of {file.name} to {dataset} to resume. Starting a new one.")
    elif known:
        tell("An earlier upload of this file was interrupted; --resume continues it. This is a new upload.")
    return _send_all(api, _open(api, file, dataset, filename, options), {}, on_sent)


def _check_options(known: ResumeState, filename: str, options: Mapping[str, object]) -> None:
    """Raise InvalidRequest if the options or the file name differ from those that the upload was started with."""
    asked = {**known.options, **options}
    if asked != known.options or (filename and filename != known.filename):
        began = ", ".join(f"{name}={value}" for name, value in sorted(known.options.items())) or "no options"
        raise InvalidRequest(
            f"The upload of {known.filename} was started with {began}, which cannot be changed now."
            " Resume it without options, or start a new upload without --resume."
        )


# --- open and resume ---


def _open(api: HttpClient, file: Path, dataset: str, filename: str, options: Mapping[str, object]) -> ResumeState:
    """Open a multipart upload and check that S3 can be reached. Raises DirectUploadRefused, leaving nothing behind."""
    stat, filename = file.stat(), filename or file.name
    metadata = {"dataset": dataset, "size": stat.st_size, **options}
    try:
        opened = api.send("POST", "/s3/multipart", json={"filename": filename, "metadata": metadata}).json()
    except ApiError as error:
        if error.status in (404, 405, 501) and error.code in _NO_ROUTE:
            raise DirectUploadRefused(f"{api.url} does not offer uploads straight to S3.") from error
        raise
    upload = ResumeState(
        server=api.url,
        dataset=dataset,
        path=str(file.absolute()),
        size_bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
        part_bytes=part_bytes(stat.st_size),
        key=opened["key"],
        upload_id=opened["uploadId"],
        import_id=opened["id"],
        filename=filename,
        options=dict(options),
    )
    try:
        _probe(_sign(api, upload, 1))
    except DirectUploadRefused:
        _abort(api, upload)
        raise
    with suppress(OSError):  # without a stored state the upload works, but it cannot be resumed
        resume_state.keep(upload)
    return upload


def part_bytes(size_bytes: int) -> int:
    """Return the size of the parts of a file, apart from the last one."""
    return max(PART_BYTES, -(-size_bytes // PARTS_MAX))


def _probe(address: str) -> None:
    """Raise DirectUploadRefused if S3 does not answer. Any status is an answer, apart from a proxy's 502, 503 or 504."""
    split = urlsplit(address)
    try:
        with http.session_to(address) as session:
            answer = session.head(f"{split.scheme}://{split.netloc}/", timeout=(PROBE_SECONDS, PROBE_SECONDS))
    except (requests.RequestException, ValueError) as error:
        raise DirectUploadRefused(f"S3 cannot be reached from here at {split.netloc}: {http.cause(error)}.") from error
    if answer.status_code in (502, 503, 504):
        raise DirectUploadRefused(f"S3 cannot be reached from here at {split.netloc}: HTTP status {answer.status_code}.")


def _go_on(api: HttpClient, upload: ResumeState, on_sent: Sent) -> str:
    """Resume an upload and return its import's id. Raises _Gone if the server or S3 does not know it any more."""
    try:
        there = _parts_there(api, upload)
    except ApiError as error:
        if error.code not in _GONE:
            raise
        return _completed_before(api, upload)
    return _send_all(api, upload, there, on_sent)


def _completed_before(api: HttpClient, upload: ResumeState) -> str:
    """Return the import's id if the upload was complete and only the last answer was lost. Raises _Gone if it was not."""
    try:
        _complete(api, upload, {})
    except ApiError as error:
        if error.code in (*_GONE, "wrong_parts"):
            raise _Gone(f"{error}") from error
        raise
    resume_state.forget(upload)
    return upload.import_id


def _send_all(api: HttpClient, upload: ResumeState, there: Mapping[int, str], on_sent: Sent) -> str:
    """Send the missing parts, complete the upload, and return its import's id."""
    sent = _PartUploader(api, upload, there, on_sent).send()
    try:
        upload.check()
    except InvalidRequest:
        _abort(api, upload)
        raise
    _complete(api, upload, sent)
    resume_state.forget(upload)
    return upload.import_id


def _abort(api: HttpClient, upload: ResumeState) -> None:
    """Abort the upload, so that nothing of it stays; the server removes later what cannot be removed now."""
    with suppress(ApiError, Unreachable):
        api.send("DELETE", _route(upload))
    resume_state.forget(upload)


# --- requests to the server ---


def _route(upload: ResumeState, rest: str = "") -> str:
    return f"/s3/multipart/{quote(upload.upload_id, safe='')}{rest}?key={quote(upload.key, safe='')}"


def _sign(api: HttpClient, upload: ResumeState, number: int) -> str:
    return str(api.send("GET", _route(upload, f"/{number}")).json()["url"])


def _parts_there(api: HttpClient, upload: ResumeState) -> dict[int, str]:
    """Return the ETags of the parts that S3 has completely, by number."""
    listed = api.send("GET", _route(upload)).json()
    sizes = {number: length for number, (_, length) in ranges(upload).items()}
    return {one["PartNumber"]: one["ETag"] for one in listed if sizes.get(one["PartNumber"]) == one["Size"]}


def _complete(api: HttpClient, upload: ResumeState, etags: Mapping[int, str]) -> None:
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]
    api.send("POST", _route(upload, "/complete"), json={"parts": parts})


def ranges(upload: ResumeState) -> dict[int, tuple[int, int]]:
    """Return the offset and length of each part, by number."""
    starts = range(0, upload.size_bytes, upload.part_bytes)
    return {n: (start, min(upload.part_bytes, upload.size_bytes - start)) for n, start in enumerate(starts, 1)}


# --- parts, several at once ---


class _Connections:
    """One thread's connections: to the server with the API key, and to S3 without it."""

    def __init__(self, api: HttpClient) -> None:
        self.api = api.another()
        self._s3: requests.Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.api.close()
        if self._s3 is not None:
            self._s3.close()

    def to_s3(self, address: str) -> requests.Session:
        """Return the session for S3."""
        self._s3 = self._s3 or http.session_to(address)
        return self._s3


class _PartUploader:
    """Send the missing parts of an upload in a few threads, each with its own connections."""

    def __init__(self, api: HttpClient, upload: ResumeState, there: Mapping[int, str], on_sent: Sent) -> None:
        self._api, self._upload, self._on_sent = api, upload, on_sent
        self._ranges = ranges(upload)
        self._etags = dict(there)
        self._missing = deque(sorted(self._ranges.keys() - there.keys()))
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._sent_bytes = {number: self._ranges[number][1] for number in there}
        self._total_bytes = sum(self._sent_bytes.values())

    def send(self) -> dict[int, str]:
        """Return the ETags of all parts, once S3 has them. Raises the error of the first part that fails for good."""
        self._on_sent(self._total_bytes, self._upload.size_bytes)
        pool = ThreadPoolExecutor(PARTS_AT_ONCE, "part")
        threads = [pool.submit(self._send_parts) for _ in range(min(PARTS_AT_ONCE, len(self._missing)))]
        try:
            for done in as_completed(threads):
                self._etags |= done.result()
        finally:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            wait(threads, STOP_SECONDS)
        return self._etags

    def _send_parts(self) -> dict[int, str]:
        """Send part after part until none is missing; return the ETags of those that this thread sent."""
        etags: dict[int, str] = {}
        with _Connections(self._api) as connections, suppress(IndexError):
            while not self._stop.is_set():
                number = self._missing.popleft()
                etags[number] = self._send_part(connections, number)
        return etags

    def _send_part(self, connections: _Connections, number: int) -> str:
        """Return the ETag of a part. Raises ApiError if S3 keeps refusing it, Unreachable if S3 does not answer."""
        retrying = Retrying(
            retry=retry_if_exception_type(requests.RequestException) | retry_if_not_result(_is_stored),
            stop=_Refusals() | stop_after_attempt(ATTEMPTS) | stop_when_event_set(self._stop),
            wait=http.pause,
            sleep=sleep_using_event(self._stop),
            before_sleep=lambda state: self._report(number, 0),
            retry_error_callback=http.last_outcome,
        )
        try:
            answer = retrying(self._put, connections, number)
        except requests.RequestException as error:
            raise Unreachable(f"The connection to S3 broke off: {http.cause(error)}.") from error
        if not _is_stored(answer):
            raise _refusal(answer, number)
        return answer.headers["ETag"]

    def _put(self, connections: _Connections, number: int) -> requests.Response:
        """Send a part once, with its MD5 and a new signature."""
        start, length = self._ranges[number]
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self._chunks(start, length):
            digest.update(chunk)
        headers = {"Content-MD5": base64.b64encode(digest.digest()).decode(), "Content-Type": "application/octet-stream"}
        body = Sized(self._counted(number, start, length), length)
        address = _sign(connections.api, self._upload, number)
        timeout = (http.CONNECT_SECONDS, http.ANSWER_SECONDS)
        return connections.to_s3(address).put(address, data=body, headers=headers, timeout=timeout)

    def _counted(self, number: int, start: int, length: int) -> Iterator[bytes]:
        sent = 0
        for chunk in self._chunks(start, length):
            yield chunk
            sent += len(chunk)
            self._report(number, sent)

    def _report(self, number: int, sent_bytes: int) -> None:
        """Report the progress: so many bytes of a part have been sent in its current attempt."""
        with self._lock:
            self._total_bytes += sent_bytes - self._sent_bytes.get(number, 0)
            self._sent_bytes[number] = sent_bytes
            self._on_sent(self._total_bytes, self._upload.size_bytes)

    def _chunks(self, start: int, length: int) -> Iterator[bytes]:
        with Path(self._upload.path).open("rb") as stream:
            stream.seek(start)
            while length:
                if self._stop.is_set():
                    raise _Stopped
                chunk = stream.read(min(http.CHUNK_BYTES, length))
                if not chunk:
                    raise InvalidRequest(f"{self._upload.path} became shorter during the upload. Nothing was imported.")
                length -= len(chunk)
                yield chunk


def _is_stored(answer: requests.Response) -> bool:
    return answer.ok and bool(answer.headers.get("ETag"))


class _Refusals(stop_base):
    """Stop sending a part that S3 refuses for good: after a 404, or REFUSALS answers that are no temporary errors."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, state: RetryCallState) -> bool:
        if state.outcome is None or state.outcome.failed:
            return False
        status = state.outcome.result().status_code
        self._count += status not in (408, 429) and status < 500
        return status == 404 or self._count == REFUSALS


def _refusal(answer: requests.Response, number: int) -> ApiError:
    """Return the error in S3's XML answer as an ApiError."""
    code = re.search(r"<Code>(\w+)</Code>", answer.text[:4096])
    why = code[1] if code else answer.reason or "no ETag"
    return ApiError(answer.status_code, code="s3_refused", detail=f"S3 refuses part {number}: {answer.status_code} {why}.")
