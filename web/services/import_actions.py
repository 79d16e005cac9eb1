"""Cancel, pause, resume, promote and retry imports."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import structlog
from flask import Request

from pipeline.adapters.s3 import NotThere
from pipeline.contracts.masking import UNMASKED
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.object_keys import Kept, RowOutcome, added_names, results_file, results_key, results_prefix
from pipeline.contracts.options import DELIMITERS, DETECTED, FILE_NAMES, Options
from pipeline.contracts.states import State
from pipeline.errors import IllegalMove, Unreachable
from pipeline.ledger.models import ImportRecord
from pipeline.receive.idempotency import IdempotencyKey
from pipeline.receive.patches import TooManyEdits
from pipeline.receive.upload import Intake, Receipt
from pipeline.receive.upload_metadata import UploadRequest
from web.app_context import app_context
from web.http import audit_log
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.services.imports import check_kept, find
from web.services.patches import check_editable, current_patch
from web.services.uploads import Upload, idempotency_key, receive, recording, upload_in, upload_problems, upload_slot

PATCH_BODY_BYTES = 256
"""A longer body is a file."""

log = structlog.get_logger(__name__)
_RETRY = re.compile(r" \(retry(?: ([0-9]{1,6}))?(?: of (?:failed|unprocessed) records)?\)")
_SUFFIXES = re.compile(r"(?i)(\.(csv|tsv|txt|json|ndjson|jsonl|parquet|xlsx|gz|zst|zip))+$")


def cancel(one: ImportRecord) -> ImportRecord:
    """Cancel an import. Raises Problem if it is final."""
    try:
        app_context().ledger.imports.cancel(
            one.id, audit_log.entry()
        )  # first: each step of its run reads this, whatever happens to the signal
    except IllegalMove as error:
        raise Problem("already_finished", str(error)) from error
    if one.state is State.AWAITING_UPLOAD:
        return find(one.id)
    try:
        is_running = app_context().temporal.cancel(one.id)
    except Unreachable as error:
        log.warning("cancel not signaled yet", import_id=one.id, error=str(error))  # reconciliation will signal it
        return find(one.id)
    one = find(one.id)
    if not is_running and not one.state.is_final:  # its run was lost: the queue starts it again, and it ends
        _announce(one)
    return one


def pause(one: ImportRecord, *, wanted: bool) -> ImportRecord:
    """Pause an import, or resume it. Raises Problem if it is final."""
    try:
        app_context().ledger.imports.pause(
            one.id, wanted=wanted, also=audit_log.entry()
        )  # first: a run that begins to load reads this
    except IllegalMove as error:
        raise Problem("already_finished" if find(one.id).state.is_final else "conflict", str(error)) from error
    try:
        app_context().temporal.pause(one.id, wanted=wanted)
    except Unreachable as error:
        log.warning("pause not signaled yet", import_id=one.id, error=str(error))  # reconciliation will signal it
    return find(one.id)


def promote(one: ImportRecord) -> ImportRecord:
    """Queue a validated dry run to be loaded. Raises Problem if the import is none."""
    try:
        app_context().ledger.imports.promote(one.id, audit_log.entry())
    except IllegalMove as error:
        raise Problem("wrong_state", str(error)) from error
    _announce(one)
    return find(one.id)


def _announce(one: ImportRecord) -> None:
    """Announce an import of the ledger to its queue; if Temporal does not answer, reconciliation will."""
    try:
        app_context().temporal.announce(ObjectArrived(one.bucket, one.key, one.id))
    except Unreachable as error:
        log.warning("not announced", import_id=one.id, error=str(error))


def retry_with_patch(one: ImportRecord, version: int, asked: Request | None = None) -> Receipt:
    """Import the whole file of ``one`` again with that version of its edits; mapping and options stay.

    While such an import is under way, asking again returns it. Raises Problem: patch_conflict unless it is the last version,
    file_changed if the file is not the one that was edited, not_finished, no_longer_kept.
    """
    check_editable(one)
    patch = current_patch(one)
    if patch.version != version or not patch.edits:
        what = f"at version {patch.version}" if patch.edits else "none"
        detail = (
            f"The edits of this import are {what} by now, not version {version}. Look at them, and import again with those."
        )
        raise Problem("patch_conflict", detail, headers={"ETag": f'"{patch.version}"'}, version=patch.version)
    there = app_context().store.head(one.key)
    if patch.sha256 != one.sha256 or there is None or (one.etag and there.etag != one.etag):
        raise Problem(
            "file_changed",
            f"The file of this import is {'not there any more' if there is None else 'another one now'}."
            " The edits were made for the one that was imported.",
        )
    try:
        correction = app_context().patches.store_correction(one, patch)
    except TooManyEdits as error:
        raise Problem("too_many_edits", str(error)) from error
    except NotThere as error:
        raise Problem("no_longer_kept", "The edits that this import was made with are not kept any more.") from error
    options = replace(one.options, patch=correction)
    if under_way := _under_way(one, options):
        audit_log.describe(replayed="true")
        return Receipt(under_way, replayed=True)
    once = idempotency_key(asked, Upload(f"patch {version}", iter(()), options), key_in_use()) if asked is not None else None
    return _copied(
        one, options, retry_name(one, "unprocessed", one.key, is_whole=True), one.key, once, records=f"patch {version}"
    )


def _under_way(one: ImportRecord, options: Options) -> ImportRecord | None:
    """Return the retry with just these options that has not ended; None if there is none."""
    retries = [find(retried_by) for retried_by in app_context().ledger.imports.retries(one.id)]
    return next((each for each in retries if each.options == options and not each.state.is_final), None)


def retry(one: ImportRecord, only: str | None, asked: Request | None = None) -> Receipt:
    """Make an import, linked to ``one``, of its failed or its unprocessed records, or of a corrected file in ``asked``.

    Raises Problem if there are no such records, or if ``one`` is not final.
    """
    if not one.state.is_final or one.state is State.VALIDATED:
        raise Problem(
            "not_finished", f"The import is {one.state}. Retry it when it has ended: only then is it known what failed."
        )
    if asked is not None and _has_body(asked):
        with upload_slot(app_context()):
            brought = upload_in(asked, app_context().settings.max_upload_bytes, again(one))
            key = key_in_use()
            once = idempotency_key(asked, brought, key)
            return receive(app_context(), brought, dataset=one.dataset, key=key, idempotency_key=once, retry_of=one.id)
    kind = only or default_kind(one)
    if not {"failed": one.failed, "unprocessed": one.unprocessed}[kind]:
        raise Problem("nothing_to_retry", f"This import has no {kind} records.")
    check_kept(one, needed_for(one, kind))
    once = None
    if asked is not None:
        once = idempotency_key(asked, Upload(kind, iter(()), again(one)), key_in_use())
    return _retry_stored(one, kind, once)


def patch_version_in(asked: Request) -> int | None:
    """Return the version in a body ``{"patch": 3}``; None for any other body: a corrected file, which can still be read."""
    length = asked.content_length or 0
    if asked.mimetype != "application/json" or not 0 < length <= PATCH_BODY_BYTES:
        return None
    body = asked.environ["wsgi.input"].read(length)
    asked.environ["wsgi.input"] = io.BytesIO(body)
    try:
        said = json.loads(body)
    except ValueError:
        return None
    version = said.get("patch") if isinstance(said, dict) and said.keys() == {"patch"} else None
    return version if type(version) is int and version > 0 else None


def default_kind(one: ImportRecord) -> str:
    """Return which records a retry takes by default."""
    return "failed" if one.failed else "unprocessed"


def needed_for(one: ImportRecord, kind: str) -> Kept:
    """Return what the records of that kind are read from: the source if nothing of it was loaded, else the results."""
    return Kept.SOURCE if kind == "unprocessed" and one.unprocessed == one.records_total else Kept.RESULTS


def _has_body(asked: Request) -> bool:
    return bool(asked.content_length) or "chunked" in asked.headers.get("Transfer-Encoding", "").lower()


def again(one: ImportRecord) -> Options:
    """Return the options of ``one`` for a result file of it: without the columns that such a file adds, and in our format."""
    added = added_names(one.reading.get("original_columns", []))
    written_by_us = {name: getattr(DETECTED, name) for name in FILE_NAMES}
    clean = {name: value for name, value in one.options.clean.items() if name != "skip_rows"}  # they are lines of the original
    return replace(one.options, **written_by_us, clean=clean, force=True, without=(*one.options.without, *added), patch=None)


def _stored_records(one: ImportRecord, kind: str) -> tuple[str, Options]:
    """Return the key of the records of that kind in S3, and the options to read them with."""
    if needed_for(one, kind) is Kept.SOURCE:
        return one.key, replace(one.options, force=True)
    detected = str(one.reading.get("delimiter") or "")
    options = replace(again(one), delimiter=detected if detected in DELIMITERS else None)
    file = results_file(RowOutcome(kind), "native", one.reading)
    clear = f"{results_prefix(one.id)}{UNMASKED}{file}"  # it is copied, not shown
    has_clear = app_context().store.head(clear) is not None
    return clear if has_clear else results_key(one.id, RowOutcome(kind), "native", one.reading), options


def retry_name(one: ImportRecord, kind: str, source: str, *, is_whole: bool = False) -> str:
    """Return the name of a retry: ``products (retry of failed records).csv``, and ``retry 2`` of the next one.

    ``products (retry).csv`` if the whole file is retried, which it is in any case if ``is_whole``.
    """
    again = _RETRY.search(one.filename)
    stem = _SUFFIXES.sub("", _RETRY.sub("", one.filename)) or "upload"
    times = f" {int(again[1] or 1) + 1}" if again else ""
    of = f" of {kind} records" if not is_whole and needed_for(one, kind) is Kept.RESULTS else ""
    ending = _SUFFIXES.search(source)
    return f"{stem} (retry{times}{of}){ending[0] if ending else ''}"


def _retry_stored(one: ImportRecord, kind: str, once: IdempotencyKey | None) -> Receipt:
    """Import the stored records of that kind again."""
    source, options = _stored_records(one, kind)
    try:
        return _copied(one, options, retry_name(one, kind, source), source, once, records=kind)
    except NotThere as error:
        check_kept(find(one.id), needed_for(one, kind))  # it was removed meanwhile
        raise Problem("no_results", f"The {kind} records of this import are not kept any more.") from error


def _copied(
    one: ImportRecord, options: Options, name: str, source: str, once: IdempotencyKey | None, *, records: str
) -> Receipt:
    """Import a copy of the object at ``source`` as a retry of ``one``. Raises NotThere."""
    asked = UploadRequest(options, name, key_in_use().id, one.id)
    with upload_problems():
        intake = Intake(app_context().store, app_context().ledger, recording(one.id, records))
        receipt = intake.copy(one.dataset, asked, source, once)
    if not receipt.replayed:
        _announce(receipt.made)
    return receipt
