"""Find an import for the key in use, show it, and refuse what the retention policy has deleted."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from flask import request

from pipeline.contracts.object_keys import Kept
from pipeline.ledger.models import ImportRecord
from web.http.problems import Problem
from web.services import key_scope


def find(import_id: str) -> ImportRecord:
    """Return the import of that id. Raises Problem if there is none."""
    found = key_scope.import_of(import_id)
    if found is None:
        raise Problem("unknown_import", f"There is no import {import_id!r}. GET /v1/imports lists all imports.")
    return found


def removal(one: ImportRecord, what: Kept) -> str | None:
    """Return a sentence saying when the retention policy deleted this; None if it is kept or never existed."""
    gone = one.removed_at(what)
    if gone is None:
        return None
    named = {
        Kept.BATCHES: "The batches of this import were",
        Kept.RESULTS: "The failed records and other results of this import were",
        Kept.REPORT: "The findings of this import and their report were",
        Kept.SOURCE: "The uploaded file was",
    }[what]
    when = f"{gone.astimezone(UTC):%-d %b %Y, %H:%M} UTC"
    return f"{named} deleted on {when} by the retention policy ({what.setting})."


def check_kept(one: ImportRecord, what: Kept) -> None:
    """Raise Problem if the retention policy deleted this."""
    if said := removal(one, what):
        raise Problem("no_longer_kept", said, setting=what.setting, removed_at=one.removed.get(what))


def shown(one: ImportRecord) -> dict[str, Any]:
    """Return an import as the API shows it."""
    return one.to_json(request.host_url)
