"""A client of the HTTP API: one method for each thing that the API offers.

    from pipeline.client import Client
    server = Client()
    ended = server.wait(server.upload("places.csv", "places"))

All attempts of an upload have the same idempotency key, so that a retry never creates a second import; its SHA-256 is compared
with the server's. A large file is sent straight to S3 in parts (multipart_upload.py). Lists and files are read page by page, in
constant memory.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

import requests

from pipeline.client.audits import AuditCalls
from pipeline.client.default_server import default_server
from pipeline.client.definitions import DefinitionCalls
from pipeline.client.http import ApiError, Body, Download, HttpClient, Sent, TimedOut
from pipeline.client.multipart_upload import FROM_BYTES, DirectUploadRefused, Tell, send_in_parts
from pipeline.client.patches import PatchCalls
from pipeline.client.report_links import is_below, links_in
from pipeline.contracts.options import Options, option_text
from pipeline.contracts.states import State

__all__ = ["ApiError", "Client", "ImportJson", "TimedOut"]

ImportJson = dict[str, Any]
"""An import as the API returns it."""

FIRST_POLL_SECONDS, SLOWEST_POLL_SECONDS = 0.2, 2.0


class Client:
    """A client for one server with one API key; by default those of default_server.py. Not to be shared between threads.

    Every method raises ApiError if the server refuses, and Unreachable if it does not answer.
    """

    def __init__(self, url: str | None = None, key: str = "") -> None:
        authority = ""
        if url is None:
            url, default_key, authority = default_server()
            key = key or default_key
        self._http = HttpClient(url, key, authority=authority)
        self.url = self._http.url
        self.audits = AuditCalls(self._http, self._json, self._pages)
        self.patches = PatchCalls(self._json, self._pages)
        self.definitions = DefinitionCalls(self._http, self._json)

    # --- imports ---

    def upload(
        self,
        source: str | Path | BinaryIO,
        dataset: str,
        *,
        filename: str | None = None,
        options: Options | None = None,
        on_sent: Sent | None = None,
        idempotency_key: str | None = None,
        direct: bool | None = None,
        resume: bool = False,
        tell: Tell | None = None,
    ) -> ImportJson:
        """Upload a file, or a stream of unknown length, and return its import.

        A file of 64 MiB or more is sent straight to S3 in parts, unless ``direct`` says otherwise; ``resume`` continues an
        interrupted upload; ``tell`` is called with a sentence if another way had to be taken. ``on_sent`` may be called from
        other threads, one at a time. Raises Unreachable if the connection breaks and the stream cannot be read again, ApiError
        (code ``damaged_upload``) if the server's SHA-256 differs from that of the bytes sent, InvalidRequest if a file to be
        resumed has changed.
        """
        source = Path(source) if isinstance(source, str) else source
        tell = tell or (lambda text: None)
        if direct is None:
            direct = resume or (idempotency_key is None and _bytes_of(source) >= FROM_BYTES)
        if direct and isinstance(source, Path) and _bytes_of(source):
            try:
                return self._send_direct(source, dataset, filename, options, resume=resume, on_sent=on_sent, tell=tell)
            except DirectUploadRefused as why:
                tell(f"{why} The file is sent through the server instead.")
        path = f"/v1/datasets/{quote(dataset, safe='')}/imports"
        asked = _parameters(options or Options())
        return self._send_file(path, source, filename, asked, on_sent=on_sent, idempotency_key=idempotency_key)

    def _send_direct(
        self,
        file: Path,
        dataset: str,
        filename: str | None,
        options: Options | None,
        *,
        resume: bool,
        on_sent: Sent | None,
        tell: Tell,
    ) -> ImportJson:
        """Upload a file straight to S3. Raises DirectUploadRefused before any byte is sent."""
        made = send_in_parts(
            self._http,
            file,
            dataset,
            filename=filename or "",
            options=(options or Options()).to_json(),
            resume=resume,
            on_sent=on_sent or _unwatched,
            tell=tell,
        )
        return self.get(made)

    def _send_file(
        self,
        path: str,
        source: Path | BinaryIO,
        filename: str | None,
        asked: Mapping[str, str],
        *,
        on_sent: Sent | None,
        idempotency_key: str | None = None,
    ) -> ImportJson:
        body = Body(source, on_sent or _unwatched)
        answer = self._http.send(
            "POST",
            path,
            params={"filename": filename or (source.name if isinstance(source, Path) else "stdin.csv"), **asked},
            headers={
                "Idempotency-Key": idempotency_key or str(uuid.uuid4()),
                "Content-Type": "application/octet-stream",
            },
            body=body,
        )
        made = self._document(answer)
        theirs = made.get("source", {}).get("sha256")
        if theirs and theirs != body.sha256:
            raise ApiError(
                answer.status_code,
                code="damaged_upload",
                detail=f"The upload was damaged: SHA-256 {body.sha256} was sent, {theirs} received. Upload it again.",
            )
        return made

    def get(self, import_id: str) -> ImportJson:
        """Return an import as it is now."""
        return self._json("GET", _path(import_id))

    def list(self, *, dataset: str | None = None, state: str | None = None) -> Iterator[ImportJson]:
        """Yield all imports, newest first, fetched page by page."""
        for page in self._pages("/v1/imports", {"dataset": dataset, "state": state}):
            yield from page["items"]

    def wait(
        self,
        made: str | ImportJson,
        *,
        on_progress: Callable[[ImportJson], None] | None = None,
        timeout: float | None = None,
    ) -> ImportJson:
        """Poll an import, given as JSON or by id, until it has ended, and return it; ``timeout`` is in seconds.

        ``on_progress`` is called with each answer. Raises TimedOut.
        """
        import_id = made if isinstance(made, str) else str(made["id"])
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL_SECONDS
        while True:
            seen = self.get(import_id)
            if on_progress:
                on_progress(seen)
            if State(seen["state"]).is_final:
                return seen
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOut(f"Import {import_id} is still {seen['state']} after {timeout:g} s.", last=seen)
            time.sleep(pause if left is None else min(pause, left))
            pause = min(pause * 1.2, SLOWEST_POLL_SECONDS)

    def cancel(self, import_id: str) -> ImportJson:
        """Request the cancellation of an import."""
        return self._json("POST", _path(import_id, "cancel"))

    def pause(self, import_id: str) -> ImportJson:
        """Request a pause of an import; the parts that are being loaded are completed."""
        return self._json("POST", _path(import_id, "pause"))

    def resume(self, import_id: str) -> ImportJson:
        """Resume a paused import."""
        return self._json("POST", _path(import_id, "resume"))

    def retry(
        self,
        import_id: str,
        source: Path | BinaryIO | None = None,
        *,
        filename: str | None = None,
        only: str | None = None,
        patch: int | None = None,
        on_sent: Sent | None = None,
    ) -> ImportJson:
        """Start a new import of the failed records (or of the unprocessed ones, if ``only`` says so), and return it.

        ``source`` is a file with the corrected records; ``patch`` a version of the edits, with which the whole file
        is imported. Raises what ``upload`` raises.
        """
        path = _path(import_id, "retry")
        if source is None:
            asked = _given(only=only, patch=patch)
            return self._json("POST", path, params=asked, headers={"Idempotency-Key": str(uuid.uuid4())})
        return self._send_file(path, source, filename, {}, on_sent=on_sent)

    def promote(self, import_id: str) -> ImportJson:
        """Load the file of a validated dry run."""
        return self._json("POST", _path(import_id, "promote"))

    def errors(self, import_id: str, *, code: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield all findings of an import, fetched page by page."""
        for page in self.error_pages(import_id, code=code):
            yield from page["items"]

    def error_pages(self, import_id: str, *, code: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the pages of an import's findings, each with ``items`` and ``total``, the number of all findings."""
        return self._pages(_path(import_id, "errors"), {"code": code})

    def error_groups(self, import_id: str, *, code: str | None = None) -> dict[str, Any]:
        """Return the findings grouped by what they say: ``items``, and the numbers of ``groups`` and findings (``total``)."""
        return self._json("GET", _path(import_id, "errors/groups"), params={"code": code})

    def errors_file(self, import_id: str, file_format: str, *, code: str | None = None) -> Download:
        """Return all findings as one file: csv, json, parquet or xlsx."""
        return self._http.download("GET", _path(import_id, "errors"), params={"format": file_format, "code": code})

    def results(self, import_id: str, fate: str = "failed", *, file_format: str = "native") -> Download:
        """Return the rows that succeeded, failed or are unprocessed, with row, code and reason, as one file.

        Formats: native (the format of the upload), parquet, arrow, csv or json. Waits while the file is being written.
        """
        pause = FIRST_POLL_SECONDS
        while True:
            file = self._http.download("GET", _path(import_id, f"results/{fate}"), params={"format": file_format})
            if not file.is_to_come:
                return file
            file.close()
            time.sleep(pause)
            pause = min(pause * 2, SLOWEST_POLL_SECONDS)

    def report_url(self, import_id: str) -> str:
        """Return the URL of the report for a browser."""
        return self.url + _path(import_id, "report/")

    def report(self, import_id: str) -> Iterator[tuple[str, bytes]]:
        """Yield the report's pages and what they link to, as (path within the report, content)."""
        root = self.report_url(import_id)
        waiting, seen = [root], {root}
        while waiting:
            at = waiting.pop(0)
            answer = self._http.send("GET", at.removeprefix(self.url))
            yield unquote(at.removeprefix(root)) or "index.html", answer.content
            if "html" in answer.headers.get("Content-Type", ""):
                fresh = {link: None for link in links_in(answer.text, at) if is_below(link, root) and link not in seen}
                seen.update(fresh)
                waiting += fresh

    # --- the warehouse ---

    def query(self, sql: str, *, limit: int | None = None) -> dict[str, Any]:
        """Return the result of a SELECT as the API returns it."""
        return self._json("POST", "/v1/query", json=_given(sql=sql, limit=limit))

    def query_file(self, sql: str, file_format: str, *, limit: int | None = None) -> Download:
        """Return the result of a SELECT as one file: csv, parquet, arrow or xlsx."""
        return self._http.download("POST", "/v1/query", params={"format": file_format}, json=_given(sql=sql, limit=limit))

    def export(self, dataset: str, file_format: str, *, children_of: str | None = None, roots: bool = False) -> Download:
        """Return a dataset's records, the children of one, or the roots, as one file: csv, json, ndjson, parquet or arrow."""
        asked = _given(format=file_format, parentId=children_of, root="true" if roots else None)
        return self._http.download("GET", f"/v1/datasets/{quote(dataset, safe='')}/records", params=asked)

    def create_database_login(self, label: str, *, days: int | None = None) -> dict[str, Any]:
        """Create a login to the database for a program; return it with its password, which is shown only now."""
        return self._json("POST", "/v1/database-logins", json=_given(label=label, days=days))

    def database_logins(self) -> dict[str, Any]:
        """Return the logins to the database that were created with this key; for an admin, all."""
        return self._json("GET", "/v1/database-logins")

    def revoke_database_login(self, login_id: str) -> None:
        """Revoke a login to the database."""
        self._http.send("DELETE", f"/v1/database-logins/{quote(login_id, safe='')}")

    def datasets(self) -> dict[str, Any]:
        """Return the datasets of the server."""
        return self._json("GET", "/v1/datasets")

    # --- answers ---

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        return self._document(self._http.send(method, path, **options))

    def _document(self, answer: requests.Response) -> dict[str, Any]:
        try:
            document: dict[str, Any] = answer.json()
        except requests.JSONDecodeError as error:
            detail = f"The server at {self.url} is not Bulkhead. Check BULKHEAD_URL."
            raise ApiError(answer.status_code, code="not_bulkhead", detail=detail) from error
        return document

    def _pages(self, path: str, params: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            page = self._json("GET", path, params={**params, "cursor": cursor})
            yield page
            cursor = page.get("next_cursor")
            if not cursor:
                return


def _unwatched(sent: int, total: int | None) -> None:
    """Ignore the progress."""


def _bytes_of(source: Path | BinaryIO) -> int:
    """Return the size of a file; 0 for a stream, whose size is unknown."""
    return source.stat().st_size if isinstance(source, Path) and source.is_file() else 0


def _path(import_id: str, rest: str = "") -> str:
    return f"/v1/imports/{quote(import_id, safe='')}" + (f"/{rest}" if rest else "")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _parameters(options: Options) -> dict[str, str]:
    """Return options as query parameters; those not set are left out."""
    asked = options.to_json()
    if "notify" in asked:
        asked["notify"] = ",".join(options.notify)
    return {name: "true" if value is True else option_text(value) for name, value in asked.items()}
