"""The API's verbs from the caller's side: what the command line and the demo speak through.

    from pipeline.client import Client
    server = Client()
    ended = server.wait(server.upload("places.csv", "places"))

An upload is sent under one Idempotency-Key however often the connection breaks, so that a retry can never make a
second import; its SHA-256 is compared with the server's. A large file goes straight to S3, in parts (direct.py). Lists and
files come page by page, in constant memory.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urldefrag, urljoin

import requests

from pipeline.client.http import ApiError, Body, Download, HttpClient, Sent
from pipeline.client.multipart_upload import FROM_BYTES, DirectUploadRefused, Tell, send_in_parts
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.errors import TransientError
from pipeline.settings import load_settings

__all__ = ["ApiError", "Client", "ImportJson", "TimedOut"]

ImportJson = dict[str, Any]
"""An import as the API shows it."""

FIRST_POLL_SECONDS, SLOWEST_POLL_SECONDS = 0.2, 2.0


class TimedOut(TransientError):
    """The import is still under way. ``last`` is what was last seen of it."""

    def __init__(self, message: str, *, last: ImportJson) -> None:
        super().__init__(message)
        self.last = last


class Client:
    """One server, one key; without any, those that the settings name. Not to be shared between threads.

    Every method raises ApiError if the server refuses, and Unreachable if it does not answer.
    """

    def __init__(self, url: str | None = None, key: str = "") -> None:
        if url is None:
            settings = load_settings()
            url, key = settings.url, key or settings.api_key
        self._wire = HttpClient(url, key)
        self.url = self._wire.url

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
        """Send a file, or a stream whose length nobody knows, and return the import that the server made of it.

        A file of 64 MiB or more goes straight to S3, in parts, unless ``direct`` says otherwise; ``resume`` goes on with one
        that broke off; ``tell`` is told if it turns out otherwise. Raises Unreachable if the connection breaks and the stream
        cannot be read again, ApiError (code ``damaged_upload``) if the server's SHA-256 is not that of the bytes sent,
        InvalidRequest if a file that is to be resumed has changed.
        """
        source = Path(source) if isinstance(source, str) else source
        tell = tell or (lambda text: None)
        if direct is None:
            direct = resume or (idempotency_key is None and _bytes_of(source) >= FROM_BYTES)
        if direct and isinstance(source, Path) and _bytes_of(source):
            try:
                return self._send_direct(source, dataset, filename, options, resume=resume, on_sent=on_sent, tell=tell)
            except DirectUploadRefused as why:
                tell(f"{why} The file goes through the server instead.")
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
        """Raises NotDirect before a byte has gone."""
        made = send_in_parts(
            self._wire,
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
        answer = self._wire.send(
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
                detail=f"The file changed on its way: sent SHA-256 {body.sha256}, the server has {theirs}.",
            )
        return made

    def get(self, import_id: str) -> ImportJson:
        """One import as it stands now."""
        return self._json("GET", _path(import_id))

    def list(self, *, dataset: str | None = None, state: str | None = None) -> Iterator[ImportJson]:
        """Every import, newest first, page by page."""
        for page in self._pages("/v1/imports", {"dataset": dataset, "state": state}):
            yield from page["items"]

    def wait(
        self,
        made: str | ImportJson,
        *,
        on_progress: Callable[[ImportJson], None] | None = None,
        timeout: float | None = None,
    ) -> ImportJson:
        """Ask until an import, or that of this id, has come to its end, and return it then; ``timeout`` in seconds.

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
        """Ask for an import to stop."""
        return self._json("POST", _path(import_id, "cancel"))

    def pause(self, import_id: str) -> ImportJson:
        """Ask for an import to stand still; what is under way comes to its end."""
        return self._json("POST", _path(import_id, "pause"))

    def resume(self, import_id: str) -> ImportJson:
        """Have a paused import go on."""
        return self._json("POST", _path(import_id, "resume"))

    def retry(
        self,
        import_id: str,
        source: Path | BinaryIO | None = None,
        *,
        filename: str | None = None,
        only: str | None = None,
        on_sent: Sent | None = None,
    ) -> ImportJson:
        """A new import of the records that failed (or with ``only="unprocessed"`` of those), or of ``source``: them, corrected.

        Raises as ``upload`` does.
        """
        path = _path(import_id, "retry")
        if source is None:
            return self._json("POST", path, params=_given(only=only), headers={"Idempotency-Key": str(uuid.uuid4())})
        return self._send_file(path, source, filename, {}, on_sent=on_sent)

    def promote(self, import_id: str) -> ImportJson:
        """Have a validated dry run loaded."""
        return self._json("POST", _path(import_id, "promote"))

    def errors(self, import_id: str, *, code: str | None = None) -> Iterator[dict[str, Any]]:
        """Every finding of an import, page by page."""
        for page in self.error_pages(import_id, code=code):
            yield from page["items"]

    def error_pages(self, import_id: str, *, code: str | None = None) -> Iterator[dict[str, Any]]:
        """The pages of an import's findings: ``items``, and ``total``, the number there are in all."""
        return self._pages(_path(import_id, "errors"), {"code": code})

    def error_groups(self, import_id: str, *, code: str | None = None) -> dict[str, Any]:
        """The findings in groups that say the same: ``items``, how many ``groups`` and findings (``total``) there are."""
        return self._json("GET", _path(import_id, "errors/groups"), params={"code": code})

    def errors_file(self, import_id: str, file_format: str, *, code: str | None = None) -> Download:
        """The findings as one file: csv, json, parquet or xlsx."""
        return self._wire.download("GET", _path(import_id, "errors"), params={"format": file_format, "code": code})

    def results(self, import_id: str, fate: str = "failed", *, file_format: str = "native") -> Download:
        """The rows that succeeded, failed or are unprocessed, with row, code and reason, as one file.

        Native (the format that was uploaded), parquet, arrow, csv or json. Waits while it is being written.
        """
        pause = FIRST_POLL_SECONDS
        while True:
            file = self._wire.download("GET", _path(import_id, f"results/{fate}"), params={"format": file_format})
            if not file.is_to_come:
                return file
            file.close()
            time.sleep(pause)
            pause = min(pause * 2, SLOWEST_POLL_SECONDS)

    def report_url(self, import_id: str) -> str:
        """Where a browser finds the report."""
        return self.url + _path(import_id, "report/")

    def report(self, import_id: str) -> Iterator[tuple[str, bytes]]:
        """The report's pages and what they link to, as (path below the report, content)."""
        root = self.report_url(import_id)
        waiting, seen = [root], {root}
        while waiting:
            at = waiting.pop(0)
            answer = self._wire.send("GET", at.removeprefix(self.url))
            yield unquote(at.removeprefix(root)) or "index.html", answer.content
            if "html" in answer.headers.get("Content-Type", ""):
                fresh = {link: None for link in _links(answer.text, at) if _is_below(link, root) and link not in seen}
                seen.update(fresh)
                waiting += fresh

    # --- the warehouse ---

    def query(self, sql: str, *, limit: int | None = None) -> dict[str, Any]:
        """The rows that a SELECT gives, as the API shows them."""
        return self._json("POST", "/v1/query", json=_given(sql=sql, limit=limit))

    def query_file(self, sql: str, file_format: str, *, limit: int | None = None) -> Download:
        """The rows that a SELECT gives, as one file: csv, parquet or arrow."""
        return self._wire.download("POST", "/v1/query", params={"format": file_format}, json=_given(sql=sql, limit=limit))

    def export(self, dataset: str, file_format: str, *, children_of: str | None = None, roots: bool = False) -> Download:
        """Every record of a dataset, or the children of one, or the roots, as one file: csv, json, ndjson, parquet or arrow."""
        asked = _given(format=file_format, parentId=children_of, root="true" if roots else None)
        return self._wire.download("GET", f"/v1/datasets/{quote(dataset, safe='')}/records", params=asked)

    def datasets(self) -> dict[str, Any]:
        """The datasets that the server knows."""
        return self._json("GET", "/v1/datasets")

    # --- answers ---

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        return self._document(self._wire.send(method, path, **options))

    def _document(self, answer: requests.Response) -> dict[str, Any]:
        try:
            document: dict[str, Any] = answer.json()
        except requests.JSONDecodeError as error:
            detail = f"{self.url} does not answer as Bulkhead does. Is BULKHEAD_URL right?"
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
    """Nobody asked how far it is."""


def _bytes_of(source: Path | BinaryIO) -> int:
    """Of what comes as a stream nobody knows it."""
    return source.stat().st_size if isinstance(source, Path) and source.is_file() else 0


def _path(import_id: str, rest: str = "") -> str:
    return f"/v1/imports/{quote(import_id, safe='')}" + (f"/{rest}" if rest else "")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _parameters(options: Options) -> dict[str, str]:
    """Options as they stand in an address; what was left open is left out."""
    asked = options.to_json()
    if "mapping" in asked:
        asked["mapping"] = json.dumps(asked["mapping"])
    if "notify" in asked:
        asked["notify"] = ",".join(options.notify)
    return {name: "true" if value is True else str(value) for name, value in asked.items()}


def _is_below(link: str, root: str) -> bool:
    """Also keeps a page from leading a download out of its folder."""
    pieces = unquote(link.removeprefix(root)).split("/")
    return link.startswith(root) and not any(p == ".." or "\\" in p or "\0" in p for p in pieces) and pieces[0] != ""


def _links(page: str, at: str) -> list[str]:
    """The addresses that a page refers to, absolute, without fragments and queries."""
    finder = _LinkFinder()
    finder.feed(page)
    return [urldefrag(urljoin(at, link))[0].partition("?")[0] for link in finder.links]


class _LinkFinder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
