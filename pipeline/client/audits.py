"""Calls of the API about audits: of what is loaded, by the rules of its dataset."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from pipeline.client.http import ApiError, Download, HttpClient, TimedOut
from pipeline.contracts.audits import AuditState

AuditJson = dict[str, Any]
"""An audit as the API returns it."""

FIRST_POLL_SECONDS, SLOWEST_POLL_SECONDS = 0.2, 2.0


class AuditCalls:
    """The calls about audits of one client. Every method raises ApiError if the server refuses."""

    def __init__(self, http: HttpClient, json: Callable[..., AuditJson], pages: Callable[..., Iterator[AuditJson]]) -> None:
        self._http, self._json, self._pages = http, json, pages

    def start(self, dataset: str) -> AuditJson:
        """Start an audit of a dataset; while one has not ended, return that one."""
        try:
            return self._json("POST", _path(dataset), headers={"Idempotency-Key": str(uuid.uuid4())})
        except ApiError as error:
            if error.code != "audit_at_work":
                raise
            return next(self.list(dataset))  # no newer one can have been requested

    def get(self, dataset: str, audit_id: str) -> AuditJson:
        """Return an audit as it is now."""
        return self._json("GET", _path(dataset, audit_id))

    def list(self, dataset: str) -> Iterator[AuditJson]:
        """Yield all audits of a dataset, newest first, fetched page by page."""
        for page in self._pages(_path(dataset), {}):
            yield from page["items"]

    def cancel(self, dataset: str, audit_id: str) -> AuditJson:
        """Request the cancellation of an audit."""
        return self._json("POST", _path(dataset, audit_id, "cancel"))

    def wait(self, one: AuditJson, *, timeout: float | None = None) -> AuditJson:
        """Poll an audit until it has ended, and return it; ``timeout`` is in seconds. Raises TimedOut."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL_SECONDS
        while True:
            seen = self.get(one["dataset"], one["id"])
            if AuditState(seen["state"]).is_final:
                return seen
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOut(f"Audit {seen['id']} is still {seen['state']} after {timeout:g} s.", last=seen)
            time.sleep(pause if left is None else min(pause, left))
            pause = min(pause * 1.2, SLOWEST_POLL_SECONDS)

    def errors(self, one: AuditJson, *, code: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield all findings of an audit, fetched page by page."""
        for page in self._pages(_path(one["dataset"], one["id"], "errors"), {"code": code}):
            yield from page["items"]

    def error_groups(self, one: AuditJson) -> dict[str, Any]:
        """Return the findings grouped by what they say: ``items``, and the numbers of ``groups`` and findings (``total``)."""
        return self._json("GET", _path(one["dataset"], one["id"], "errors/groups"))

    def errors_file(self, one: AuditJson, file_format: str) -> Download:
        """Return all findings as one file: csv, json, parquet, arrow or xlsx."""
        return self._http.download("GET", _path(one["dataset"], one["id"], "errors"), params={"format": file_format})


def _path(dataset: str, *rest: str) -> str:
    return "/".join((f"/v1/datasets/{quote(dataset, safe='')}/audits", *rest))
