"""One HTTP request that survives a broken connection: a retry policy, bodies that can be sent again, problems as exceptions.

A request is sent again if the connection breaks or the server asks to wait (429, 503, Retry-After), with exponential backoff.
A refusal becomes ApiError with the texts of the problem document (RFC 9457); a server that does not answer becomes
errors.Unreachable. Bodies are sent and received in chunks, in constant memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    wait_exponential,
)
from tenacity.stop import stop_base

from pipeline.errors import BulkheadError, InvalidConfiguration, InvalidRequest, TransientError, Unreachable

Sent = Callable[[int, int | None], None]
"""Called with the number of bytes sent so far, and the total if it is known."""

CHUNK_BYTES = 1 << 20
CONNECT_SECONDS, ANSWER_SECONDS = 5, 120
ATTEMPTS = 6
LONGEST_PAUSE_SECONDS = 8.0
BACKOFF = wait_exponential(multiplier=0.25, max=LONGEST_PAUSE_SECONDS)
"""The pauses between attempts: 0.25 s, 0.5 s, 1 s, ..."""

_TEXT = ("text/csv", "text/tab-separated-values", "text/plain", "text/html", "application/json", "application/x-ndjson")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ApiError(BulkheadError):
    """The server refused a request: the HTTP ``status``, and ``code``, ``title`` and ``detail`` of the problem document."""

    def __init__(self, status: int, *, code: str = "", title: str = "", detail: str = "") -> None:
        super().__init__(detail or title or f"The server answered {status}.")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail


class TimedOut(TransientError):
    """The import or the audit had not ended in time. ``last`` is its JSON as it was last seen."""

    def __init__(self, message: str, *, last: dict[str, Any]) -> None:
        super().__init__(message)
        self.last = last


class _ConnectionBroken(Unreachable):
    """The connection broke off; another attempt may succeed."""


class HttpClient:
    """Send requests to one server with one API key. Not to be shared between threads.

    ``authority``: a file with the authority of the server's certificate, if it is a private one.
    """

    def __init__(self, url: str, key: str = "", *, authority: str = "") -> None:
        self.url = url.rstrip("/")
        self._key, self._authority = key, authority
        self._session = session_to(self.url, key)
        self._session.verify = authority or True
        self._has_answered = False

    def send(self, method: str, path: str, *, body: Body | None = None, **options: Any) -> requests.Response:
        """Send a request, again if need be, and return the answer; ``options`` are those of requests.

        Raises ApiError if the server refuses, Unreachable if it does not answer or the connection keeps breaking,
        InvalidConfiguration if the server's URL is invalid.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(_ConnectionBroken) | retry_if_result(_asks_to_wait),
            stop=stop_after_attempt(ATTEMPTS) | _StopIfRead(body),
            wait=pause,
            retry_error_callback=last_outcome,
        )
        return _accepted(retrying(self._attempt, method, path, body, options))

    def another(self) -> HttpClient:
        """Return a client of the same server and key for another thread."""
        return HttpClient(self.url, self._key, authority=self._authority)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def download(self, method: str, path: str, **options: Any) -> Download:
        """Request a file whose bytes are read later. Raises what send does."""
        return Download(self.send(method, path, stream=True, **options))

    def _attempt(self, method: str, path: str, body: Body | None, options: dict[str, Any]) -> requests.Response:
        """Send a request once. Raises _ConnectionBroken if another attempt may succeed, Unreachable if the server is away."""
        if body is not None:
            options = {**options, "data": body.from_start()}
        try:
            answer = self._session.request(method, self.url + path, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), **options)
        except ValueError as error:  # requests' error for an invalid URL
            raise InvalidConfiguration(f"BULKHEAD_URL is {self.url!r}, which cannot be used: {error}") from error
        except requests.RequestException as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise Unreachable(
                    f"The certificate of {self.url} is not accepted ({cause(error)}). If its authority is a private one, set"
                    " BULKHEAD_CA_CERTIFICATE to a file with it."
                ) from error
            if not self._has_answered and _never_connected(error):  # it is not running: say so at once
                raise Unreachable(
                    f"No server answers at {self.url}. Start it with: bulkhead up (or set BULKHEAD_URL to the server's URL)."
                ) from error
            raise _ConnectionBroken(f"The connection to {self.url} broke off: {cause(error)}.") from error
        self._has_answered = True
        return answer


def session_to(url: str, key: str = "") -> requests.Session:
    """Return a session for the server at ``url``, with the API key or without any."""
    session = requests.Session()
    session.auth = _Key(key)
    # Servers on this machine are not reached through a proxy.
    session.trust_env = urlsplit(url).hostname not in LOOPBACK
    return session


class Download:
    """The bytes of a file as they arrive, to be read once, within a ``with``.

    ``is_truncated``: a limit cut rows off. ``is_to_come``: the file is still being written; these are not its bytes.
    ``is_text``: a terminal can show it.
    """

    def __init__(self, answer: requests.Response) -> None:
        self._answer = answer
        self.is_truncated = answer.headers.get("X-Truncated") == "true"
        self.is_to_come = answer.status_code == requests.codes.accepted
        self.is_text = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() in _TEXT

    def __iter__(self) -> Iterator[bytes]:
        """Yield the file in chunks. Raises Unreachable if the connection breaks: the chunks so far are not the whole file."""
        try:
            yield from self._answer.iter_content(CHUNK_BYTES)
        except requests.RequestException as error:
            raise Unreachable(f"The download broke off: {cause(error)}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()


class Body:
    """The bytes of an upload in chunks, counted and hashed. A file can be sent again; a pipe cannot."""

    def __init__(self, source: Path | BinaryIO, on_sent: Sent) -> None:
        self._source = source
        self._on_sent = on_sent
        self._digest = hashlib.sha256()
        self._sent = 0

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the bytes sent since the last start."""
        return self._digest.hexdigest()

    @property
    def can_restart(self) -> bool:
        """Return whether it can be sent again from its first byte."""
        return isinstance(self._source, Path) or self._sent == 0

    def from_start(self) -> Sized | Iterator[bytes]:
        """Return what requests sends: with a Content-Length for a file, else chunked."""
        self._digest, self._sent = hashlib.sha256(), 0
        if isinstance(self._source, Path):
            size = self._source.stat().st_size
            return Sized(self._of_file(self._source, size), size)
        return self._counted(self._source, None)

    def _of_file(self, path: Path, size: int) -> Iterator[bytes]:
        """Yield exactly ``size`` bytes, the announced Content-Length. Raises InvalidRequest if the file became shorter."""
        with path.open("rb") as stream:
            yield from self._counted(stream, size)
        if self._sent < size:
            raise InvalidRequest(f"{path} became shorter during the upload. Nothing was imported.")

    def _counted(self, stream: BinaryIO, total: int | None) -> Iterator[bytes]:
        while chunk := stream.read(CHUNK_BYTES if total is None else min(CHUNK_BYTES, total - self._sent)):
            self._digest.update(chunk)
            self._sent += len(chunk)
            yield chunk
            self._on_sent(self._sent, total)


class Sized:
    """An iterator with a length, from which requests makes the Content-Length."""

    def __init__(self, chunks: Iterator[bytes], size: int) -> None:
        self._chunks = chunks
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def __len__(self) -> int:
        return self._size


class _Key(AuthBase):
    """Add the API key as an auth object: an entry in ~/.netrc would replace a header."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _StopIfRead(stop_base):
    """Stop if a part of the body was read that cannot be read again: the rest must not be sent as if it were all of it."""

    def __init__(self, body: Body | None) -> None:
        self._body = body

    def __call__(self, state: RetryCallState) -> bool:
        return self._body is not None and not self._body.can_restart


def _accepted(answer: requests.Response) -> requests.Response:
    """Return the answer if it is a success. Raises ApiError with its problem document if not."""
    if answer.ok:
        return answer
    try:
        problem = answer.json()
    except requests.RequestException:
        problem = None
    said = problem if isinstance(problem, dict) else {}
    raise ApiError(
        answer.status_code,
        code=str(said.get("code") or ""),
        title=str(said.get("title") or answer.reason or ""),
        detail=str(said.get("detail") or ""),
    )


def _asks_to_wait(answer: requests.Response) -> bool:
    """Return whether the server is busy, or still working on the same upload, whose connection broke."""
    return answer.status_code in (429, 503) or (answer.status_code == 409 and "Retry-After" in answer.headers)


def pause(state: RetryCallState) -> float:
    """Return the seconds until the next attempt: the answer's Retry-After, up to a limit, or else the backoff."""
    answer = state.outcome.result() if state.outcome is not None and not state.outcome.failed else None
    retry_after = answer.headers.get("Retry-After", "") if answer is not None else ""
    return min(float(retry_after), LONGEST_PAUSE_SECONDS) if retry_after.isdigit() else BACKOFF(state)


def last_outcome(state: RetryCallState) -> Any:
    """Return the answer of the last attempt, or raise its error: for a Retrying that gives up."""
    assert state.outcome is not None
    return state.outcome.result()


def _never_connected(error: requests.RequestException) -> bool:
    """Return whether no byte was sent: the port is closed, the name is unknown, or the connection timed out."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    never = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")
    return isinstance(error, requests.ConnectTimeout) or type(reason).__name__ in never


def cause(error: BaseException) -> str:
    """Return the message of the innermost exception; the outer ones only wrap it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
