"""One HTTP request that survives a broken connection: retries, a body that can start over, problems as exceptions.

A request is sent again while the connection breaks or the server asks for patience. What the server refuses becomes
ApiError, with the words of its problem document (RFC 9457); one that does not answer becomes errors.Unreachable. Bodies
go both ways in chunks, in constant memory.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from pipeline.errors import BulkheadError, InvalidConfiguration, InvalidRequest, Unreachable

Sent = Callable[[int, int | None], None]
"""Told how many bytes have been sent, and of how many, if that is known."""

CHUNK_BYTES = 1 << 20
CONNECT_SECONDS, ANSWER_SECONDS = 5, 120
ATTEMPTS = 6
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 8.0
_TEXT = ("text/csv", "text/tab-separated-values", "text/plain", "text/html", "application/json", "application/x-ndjson")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ApiError(BulkheadError):
    """The server refused a request. ``status`` is HTTP's; ``code``, ``title`` and ``detail`` are the problem's."""

    def __init__(self, status: int, *, code: str = "", title: str = "", detail: str = "") -> None:
        super().__init__(detail or title or f"The server answered {status}.")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail


class HttpClient:
    """The way to one server, with one key. Not to be shared between threads."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._session = session_to(self.url, key)
        self._met = False

    def send(self, method: str, path: str, *, body: Body | None = None, **options: Any) -> requests.Response:
        """The server's answer; ``options`` are those of requests.

        Raises ApiError if the server refuses, Unreachable if it does not answer or keeps breaking off, InvalidConfiguration if
        the address is none.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._once(method, path, body, options)
            except ValueError as error:  # what requests says of an address that is none
                raise InvalidConfiguration(f"BULKHEAD_URL is {self.url!r}, which cannot be used: {error}") from error
            except requests.RequestException as error:
                self._give_up_or_wait(attempt, body, error)
                continue
            self._met = True
            if not _asks_for_patience(answer) or attempt == ATTEMPTS or not _can_restart(body):
                return _accepted(answer)
            time.sleep(pause_after(attempt, answer.headers.get("Retry-After", "")))
        raise AssertionError("the last attempt returns or raises")

    def another(self) -> HttpClient:
        """The same way for another thread."""
        return HttpClient(self.url, self._key)

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def download(self, method: str, path: str, **options: Any) -> Download:
        """A file, asked for now and read later. Raises what send does."""
        return Download(self.send(method, path, stream=True, **options))

    def _once(self, method: str, path: str, body: Body | None, options: dict[str, Any]) -> requests.Response:
        if body is not None:
            options = {**options, "data": body.from_start()}
        return self._session.request(method, self.url + path, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), **options)

    def _give_up_or_wait(self, attempt: int, body: Body | None, error: requests.RequestException) -> None:
        """A server that never answered is away, and saying so at once serves best; one that broke off may come back."""
        if not self._met and _never_connected(error):
            raise Unreachable(
                f"Nothing answers at {self.url}. Start it with: bulkhead up (or set BULKHEAD_URL to where it runs)."
            ) from error
        if attempt == ATTEMPTS or not _can_restart(body):
            raise Unreachable(f"The connection to {self.url} broke off: {cause(error)}.") from error
        time.sleep(pause_after(attempt))


def session_to(url: str, key: str = "") -> requests.Session:
    """Connections to whoever is at ``url``, with our key or with none at all."""
    session = requests.Session()
    session.auth = _Key(key)
    # A proxy is for what lies outside; what listens on this machine is asked directly.
    session.trust_env = urlsplit(url).hostname not in LOOPBACK
    return session


class Download:
    """The bytes of a file as they arrive, to be read once, within a ``with``.

    ``is_truncated``: there was more than some limit let through. ``is_to_come``: it is being made; these are not its bytes.
    ``is_text``: a terminal can show it.
    """

    def __init__(self, answer: requests.Response) -> None:
        self._answer = answer
        self.is_truncated = answer.headers.get("X-Truncated") == "true"
        self.is_to_come = answer.status_code == requests.codes.accepted
        self.is_text = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() in _TEXT

    def __iter__(self) -> Iterator[bytes]:
        """Raises Unreachable if the connection breaks: what came until then is not the file."""
        try:
            yield from self._answer.iter_content(CHUNK_BYTES)
        except requests.RequestException as error:
            raise Unreachable(f"The file broke off on its way: {cause(error)}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._answer.close()


class Body:
    """The bytes of a file in chunks, counted and hashed as they go. A file can start over; a pipe cannot."""

    def __init__(self, source: Path | BinaryIO, on_sent: Sent) -> None:
        self._source = source
        self._on_sent = on_sent
        self._digest = hashlib.sha256()
        self._sent = 0

    @property
    def sha256(self) -> str:
        """Of what was sent since the last start."""
        return self._digest.hexdigest()

    @property
    def can_restart(self) -> bool:
        """Nothing would be lost by sending it again."""
        return isinstance(self._source, Path) or self._sent == 0

    def from_start(self) -> Sized | Iterator[bytes]:
        """What requests is to send: with a length if there is one, else chunk by chunk."""
        self._digest, self._sent = hashlib.sha256(), 0
        if isinstance(self._source, Path):
            size = self._source.stat().st_size
            return Sized(self._of_file(self._source, size), size)
        return self._counted(self._source, None)

    def _of_file(self, path: Path, size: int) -> Iterator[bytes]:
        """Exactly ``size`` bytes: that many were announced, whatever happens to the file meanwhile."""
        with path.open("rb") as stream:
            yield from self._counted(stream, size)
        if self._sent < size:
            raise InvalidRequest(f"{path} became shorter while it was being sent: nothing was imported.")

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
    """As an auth object, not a header: requests would let an entry in ~/.netrc replace the header."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _accepted(answer: requests.Response) -> requests.Response:
    """The answer, if the server did what was asked; else its problem, raised."""
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


def _asks_for_patience(answer: requests.Response) -> bool:
    """Busy, or still at work on the same upload, whose connection broke: the answer says when to come again."""
    return answer.status_code in (429, 503) or (answer.status_code == 409 and "Retry-After" in answer.headers)


def _can_restart(body: Body | None) -> bool:
    return body is None or body.can_restart


def pause_after(attempt: int, retry_after: str = "") -> float:
    """Seconds until the next attempt: more each time, or what the server asks for."""
    if retry_after.isdigit():
        return min(float(retry_after), LONGEST_PAUSE_SECONDS)
    return min(FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1), LONGEST_PAUSE_SECONDS)


def _never_connected(error: requests.RequestException) -> bool:
    """No byte went out: the port is closed, the name unknown, or nobody picked up."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    never = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")
    return isinstance(error, requests.ConnectTimeout) or type(reason).__name__ in never


def cause(error: BaseException) -> str:
    """The innermost exception's words: the outer ones only wrap them."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
