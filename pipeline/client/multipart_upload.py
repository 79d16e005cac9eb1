"""A file straight into S3, in parts: several at once, in constant memory, and going on where an upload broke off.

The server opens the upload, signs each part when it is wanted and makes the file of them; S3 alone gets the bytes, each part
with its MD5, so that it refuses one that changed on its way. A part that fails is tried again with a fresh signature. Until
the file is whole, ``unfinished`` remembers the upload.
"""

from __future__ import annotations

import base64
import hashlib
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit

import requests

from pipeline.client import http, resume_state
from pipeline.client.http import ApiError, HttpClient, Sent, Sized
from pipeline.client.resume_state import ResumeState
from pipeline.errors import InvalidRequest, Unreachable

FROM_BYTES = 64 << 20
"""What is smaller goes through the server: one request, and its SHA-256 is compared."""

PART_BYTES, PARTS_MAX = 8 << 20, 10_000
"""A part is larger only where 10,000 of them, S3's limit, would not be enough."""

PARTS_AT_ONCE = 4
ATTEMPTS, REFUSALS = 10, 3
PROBE_SECONDS, STOP_SECONDS = 5, 2

Tell = Callable[[str], None]
"""Told in a sentence what whoever watches should know."""

_GONE = ("unknown_upload", "upload_over", "canceled_meanwhile")
_NO_ROUTE = ("", "not_found", "method_not_allowed")


class DirectUploadRefused(Exception):
    """The file cannot go straight to S3 from here, and no byte of it has. The message is a sentence that says why."""


class _Gone(Exception):
    """There is no such upload any more; the message says what became of it."""


class _Stopped(Exception):
    """Another part has failed for good, or the upload was interrupted."""


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
    """Upload the file, or what S3 does not have of it yet, and return its import's id.

    Raises NotDirect before a byte has gone, InvalidRequest for a file that has changed, else what Wire.send does: then
    ``resume``
    goes on.
    """
    known = resume_state.find(api.url, dataset, file)
    if resume and known:
        known.check()
        _check_options(known, filename, options)
        try:
            return _go_on(api, known, on_sent)
        except _Gone as gone:
            resume_state.forget(known)
            tell(f"The upload that broke off cannot go on: {gone} Beginning anew.")
    elif resume:
        tell(f"No upload of {file.name} to {dataset} has broken off here. Beginning it.")
    elif known:
        tell("An upload of this file has broken off; --resume goes on with it. This is a new one.")
    return _send_all(api, _open(api, file, dataset, filename, options), {}, on_sent)


def _check_options(known: ResumeState, filename: str, options: Mapping[str, object]) -> None:
    """What was asked for stands with the import since it was begun. Raises InvalidRequest for a wish that is another one."""
    asked = {**known.options, **options}
    if asked != known.options or (filename and filename != known.filename):
        began = ", ".join(f"{name}={value}" for name, value in sorted(known.options.items())) or "no options"
        raise InvalidRequest(
            f"The upload of {known.filename} was begun with {began}, which cannot be changed on the way."
            " Resume it without options, or upload the file anew, without --resume."
        )


# --- opening, and going on ---


def _open(api: HttpClient, file: Path, dataset: str, filename: str, options: Mapping[str, object]) -> ResumeState:
    """Raises NotDirect, and then nothing is left of it."""
    stat, filename = file.stat(), filename or file.name
    metadata = {"dataset": dataset, "size": stat.st_size, **options}
    try:
        opened = api.send("POST", "/s3/multipart", json={"filename": filename, "metadata": metadata}).json()
    except ApiError as error:
        if error.status in (404, 405, 501) and error.code in _NO_ROUTE:
            raise DirectUploadRefused(f"{api.url} does not sign uploads straight to S3.") from error
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
        _give_up(api, upload)
        raise
    with suppress(OSError):  # nowhere to remember it: then it cannot be resumed, but it can be sent
        resume_state.keep(upload)
    return upload


def part_bytes(size_bytes: int) -> int:
    """How large the parts of a file are, the last one aside."""
    return max(PART_BYTES, -(-size_bytes // PARTS_MAX))


def _probe(address: str) -> None:
    """Raises NotDirect if nobody answers where the parts are to go. Any answer will do, but a proxy's that gets none either."""
    split = urlsplit(address)
    try:
        with http.session_to(address) as session:
            answer = session.head(f"{split.scheme}://{split.netloc}/", timeout=(PROBE_SECONDS, PROBE_SECONDS))
    except (requests.RequestException, ValueError) as error:
        raise DirectUploadRefused(f"S3 cannot be reached from here at {split.netloc}: {http.cause(error)}.") from error
    if answer.status_code in (502, 503, 504):
        raise DirectUploadRefused(f"S3 cannot be reached from here at {split.netloc}: the answer is {answer.status_code}.")


def _go_on(api: HttpClient, upload: ResumeState, on_sent: Sent) -> str:
    """Raises _Gone if the server or S3 knows nothing of it any more."""
    try:
        there = _parts_there(api, upload)
    except ApiError as error:
        if error.code not in _GONE:
            raise
        return _made_already(api, upload)
    return _send_all(api, upload, there, on_sent)


def _made_already(api: HttpClient, upload: ResumeState) -> str:
    """It may be that all but the answer to the last request had come; the server then says the same again. Raises _Gone."""
    try:
        _complete(api, upload, {})
    except ApiError as error:
        if error.code in (*_GONE, "wrong_parts"):
            raise _Gone(f"{error}") from error
        raise
    resume_state.forget(upload)
    return upload.import_id


def _send_all(api: HttpClient, upload: ResumeState, there: Mapping[int, str], on_sent: Sent) -> str:
    """Send what is not there, and have the file made of all of it."""
    sent = _PartUploader(api, upload, there, on_sent).send()
    try:
        upload.check()
    except InvalidRequest:
        _give_up(api, upload)
        raise
    _complete(api, upload, sent)
    resume_state.forget(upload)
    return upload.import_id


def _give_up(api: HttpClient, upload: ResumeState) -> None:
    """Nothing is to be left of it; what cannot be removed now expires."""
    with suppress(ApiError, Unreachable):
        api.send("DELETE", _route(upload))
    resume_state.forget(upload)


# --- what the server is asked ---


def _route(upload: ResumeState, rest: str = "") -> str:
    return f"/s3/multipart/{quote(upload.upload_id, safe='')}{rest}?key={quote(upload.key, safe='')}"


def _sign(api: HttpClient, upload: ResumeState, number: int) -> str:
    return str(api.send("GET", _route(upload, f"/{number}")).json()["url"])


def _parts_there(api: HttpClient, upload: ResumeState) -> dict[int, str]:
    """The ETags of the parts that S3 has, whole."""
    listed = api.send("GET", _route(upload)).json()
    sizes = {number: length for number, (_, length) in ranges(upload).items()}
    return {one["PartNumber"]: one["ETag"] for one in listed if sizes.get(one["PartNumber"]) == one["Size"]}


def _complete(api: HttpClient, upload: ResumeState, etags: Mapping[int, str]) -> None:
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]
    api.send("POST", _route(upload, "/complete"), json={"parts": parts})


def ranges(upload: ResumeState) -> dict[int, tuple[int, int]]:
    """Where each part begins in the file, and its length."""
    starts = range(0, upload.size_bytes, upload.part_bytes)
    return {n: (start, min(upload.part_bytes, upload.size_bytes - start)) for n, start in enumerate(starts, 1)}


# --- parts, several at once ---


@dataclass(frozen=True)
class _News:
    """Of a part: so many of its bytes have gone in this attempt; with its ETag, S3 has it."""

    number: int
    sent_bytes: int
    etag: str = ""


class _Connections:
    """One thread's connections: to the server, and to S3, where our key is nobody's business."""

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
        """What can send there."""
        self._s3 = self._s3 or http.session_to(address)
        return self._s3


class _PartUploader:
    """A few threads that take part after part, each on its own connections; what becomes of it the caller's thread hears."""

    def __init__(self, api: HttpClient, upload: ResumeState, there: Mapping[int, str], on_sent: Sent) -> None:
        self._api, self._upload, self._on_sent = api, upload, on_sent
        self._ranges = ranges(upload)
        self._etags = dict(there)
        self._stop = threading.Event()
        self._news: queue.SimpleQueue[_News | BaseException] = queue.SimpleQueue()
        self._waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in self._ranges.keys() - there.keys():
            self._waiting.put(number)

    def send(self) -> dict[int, str]:
        """The ETags of all parts, once S3 has them. Raises what the first one that fails for good does."""
        crew = [threading.Thread(target=self._work, daemon=True) for _ in range(min(PARTS_AT_ONCE, self._waiting.qsize()))]
        for thread in crew:
            thread.start()
        try:
            self._listen()
        finally:
            self._stop.set()
            for thread in crew:
                thread.join(STOP_SECONDS)
        return self._etags

    def _listen(self) -> None:
        whole = sum(self._ranges[number][1] for number in self._etags)
        under_way: dict[int, int] = {}
        self._on_sent(whole, self._upload.size_bytes)
        while len(self._etags) < len(self._ranges):
            news = self._news.get()
            if isinstance(news, BaseException):
                raise news
            under_way[news.number] = news.sent_bytes
            if news.etag:
                self._etags[news.number] = news.etag
                whole += under_way.pop(news.number)
            self._on_sent(whole + sum(under_way.values()), self._upload.size_bytes)

    def _work(self) -> None:
        try:
            with _Connections(self._api) as hand:
                while not self._stop.is_set():
                    number = self._waiting.get_nowait()
                    self._news.put(_News(number, self._ranges[number][1], self._send_part(hand, number)))
        except queue.Empty:
            return
        except BaseException as error:
            self._news.put(error)

    def _send_part(self, hand: _Connections, number: int) -> str:
        """The part's ETag. Raises ApiError if S3 keeps refusing it, Unreachable if it does not answer."""
        refusals = 0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._put(hand, number)
            except requests.RequestException as error:
                said: Exception = Unreachable(f"The connection to S3 broke off: {http.cause(error)}.")
            else:
                if answer.ok and answer.headers.get("ETag"):
                    return answer.headers["ETag"]
                said = _refusal(answer, number)
                refusals += answer.status_code not in (408, 429) and answer.status_code < 500
                if refusals == REFUSALS or answer.status_code == 404:
                    raise said
            if attempt == ATTEMPTS:
                raise said
            self._news.put(_News(number, 0))
            if self._stop.wait(http.pause_after(attempt)):
                raise _Stopped
        raise AssertionError("the last attempt returns or raises")

    def _put(self, hand: _Connections, number: int) -> requests.Response:
        start, length = self._ranges[number]
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self._chunks(start, length):
            digest.update(chunk)
        headers = {"Content-MD5": base64.b64encode(digest.digest()).decode(), "Content-Type": "application/octet-stream"}
        body = Sized(self._counted(number, start, length), length)
        address = _sign(hand.api, self._upload, number)
        timeout = (http.CONNECT_SECONDS, http.ANSWER_SECONDS)
        return hand.to_s3(address).put(address, data=body, headers=headers, timeout=timeout)

    def _counted(self, number: int, start: int, length: int) -> Iterator[bytes]:
        sent = 0
        for chunk in self._chunks(start, length):
            yield chunk
            sent += len(chunk)
            self._news.put(_News(number, sent))

    def _chunks(self, start: int, length: int) -> Iterator[bytes]:
        with Path(self._upload.path).open("rb") as stream:
            stream.seek(start)
            while length:
                if self._stop.is_set():
                    raise _Stopped
                chunk = stream.read(min(http.CHUNK_BYTES, length))
                if not chunk:
                    raise InvalidRequest(f"{self._upload.path} became shorter while it was being sent: nothing was imported.")
                length -= len(chunk)
                yield chunk


def _refusal(answer: requests.Response, number: int) -> ApiError:
    """What S3 says in its XML, as an error of ours."""
    code = re.search(r"<Code>(\w+)</Code>", answer.text[:4096])
    why = code[1] if code else answer.reason or "no ETag"
    return ApiError(answer.status_code, code="s3_refused", detail=f"S3 refuses part {number}: {answer.status_code} {why}.")
