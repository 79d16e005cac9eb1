"""Send the parts of a multipart upload to S3 in a few threads; a part that fails is sent again with a new signature."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from pathlib import Path
from typing import Self

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

from pipeline.client import http, multipart_requests
from pipeline.client.http import ApiError, HttpClient, Sent, Sized
from pipeline.client.resume_state import ResumeState
from pipeline.errors import InvalidRequest, Unreachable

PARTS_AT_ONCE = 4
ATTEMPTS, REFUSALS = 10, 3
STOP_SECONDS = 2


class _Stopped(Exception):
    """This upload is being stopped: another part has failed for good, or the user interrupted it."""


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


class PartUploader:
    """Send the missing parts of an upload in a few threads, each with its own connections."""

    def __init__(self, api: HttpClient, upload: ResumeState, there: Mapping[int, str], on_sent: Sent) -> None:
        self._api, self._upload, self._on_sent = api, upload, on_sent
        self._ranges = multipart_requests.ranges(upload)
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
        address = multipart_requests.presign(connections.api, self._upload, number)
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
