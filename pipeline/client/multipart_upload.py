"""Upload a file in parts straight to S3: several at once, in constant memory, resumable after an interruption.

The server opens the multipart upload, presigns the URL of each part when it is needed, and completes the upload; only S3
receives the bytes. Each part is sent with its MD5, so that S3 rejects a damaged one. A part that fails is sent again with a new
signature. Until the upload is complete, its ResumeState is kept (resume_state.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import requests

from pipeline.client import http, multipart_requests, resume_state
from pipeline.client.http import ApiError, HttpClient, Sent
from pipeline.client.part_uploader import PartUploader
from pipeline.client.resume_state import ResumeState
from pipeline.errors import InvalidRequest, Unreachable

FROM_BYTES = 64 << 20
"""Smaller files are sent through the server: one request, whose SHA-256 is compared."""

PART_BYTES, PARTS_MAX = 8 << 20, 10_000
"""Parts are larger only if the file needs more than 10,000 of them, the limit of S3."""

PROBE_SECONDS = 5

Tell = Callable[[str], None]
"""Called with a sentence for the user."""

_GONE = ("unknown_upload", "upload_over", "canceled_meanwhile")
_NO_ROUTE = ("", "not_found", "method_not_allowed")


class DirectUploadRefused(Exception):
    """The file cannot be uploaded straight to S3; no byte was sent. The message says why."""


class _Gone(Exception):
    """The multipart upload no longer exists; the message says why."""


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
        _probe(multipart_requests.presign(api, upload, 1))
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
        there = multipart_requests.stored_parts(api, upload)
    except ApiError as error:
        if error.code not in _GONE:
            raise
        return _completed_before(api, upload)
    return _send_all(api, upload, there, on_sent)


def _completed_before(api: HttpClient, upload: ResumeState) -> str:
    """Return the import's id if the upload was complete and only the last answer was lost. Raises _Gone if it was not."""
    try:
        multipart_requests.complete(api, upload, {})
    except ApiError as error:
        if error.code in (*_GONE, "wrong_parts"):
            raise _Gone(f"{error}") from error
        raise
    resume_state.forget(upload)
    return upload.import_id


def _send_all(api: HttpClient, upload: ResumeState, there: Mapping[int, str], on_sent: Sent) -> str:
    """Send the missing parts, complete the upload, and return its import's id."""
    sent = PartUploader(api, upload, there, on_sent).send()
    try:
        upload.check()
    except InvalidRequest:
        _abort(api, upload)
        raise
    multipart_requests.complete(api, upload, sent)
    resume_state.forget(upload)
    return upload.import_id


def _abort(api: HttpClient, upload: ResumeState) -> None:
    """Abort the upload, so that nothing of it stays; the server removes later what cannot be removed now."""
    with suppress(ApiError, Unreachable):
        multipart_requests.abort(api, upload)
    resume_state.forget(upload)
