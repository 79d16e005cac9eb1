"""Drafts of the key in use: files that a dataset is to be made of, kept between the steps of a form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.options import Options
from pipeline.errors import BulkheadError, Unreachable
from pipeline.ledger.models import ImportRecord
from pipeline.receive.drafts import Draft, find_draft, keep_draft, remove_draft
from pipeline.receive.upload import Intake
from pipeline.receive.upload_metadata import UploadRequest
from web.app_context import app_context
from web.http.auth import key_in_use
from web.http.problems import Problem
from web.services.uploads import dataset_for, recording, upload_problems

log = structlog.get_logger(__name__)


def keep(filename: str, chunks: Iterator[bytes]) -> Draft:
    """Keep a file for the key in use. Raises Problem; then nothing is kept."""
    with upload_problems():
        return keep_draft(app_context().store, key_in_use().id, filename, chunks)


def find(draft_id: str) -> Draft:
    """Return the key's draft of that ID. Raises Problem if there is none, or it is no longer kept."""
    found = known(draft_id)
    if found is None:
        raise Problem("not_found", "The file is no longer kept, or another key sent it. Choose it again.")
    return found


def known(draft_id: str) -> Draft | None:
    """Return the key's draft of that ID, or None."""
    return find_draft(app_context().store, key_in_use().id, draft_id)


@contextmanager
def as_file(draft: Draft) -> Iterator[Path]:
    """Download a draft to a file that exists as long as the block lasts."""
    with TemporaryDirectory(prefix="bulkhead-draft-") as folder:
        path = Path(folder) / "source"
        app_context().store.get_file(draft.key, path, etag=draft.stored.etag)
        yield path


def import_draft(draft: Draft, dataset: str, options: Options) -> ImportRecord:
    """Import a draft into a dataset, and remove it. Raises UnknownDataset or Problem; then nothing is imported."""
    name = dataset_for(dataset, options)
    context = app_context()
    asked = UploadRequest(options, draft.filename, key_in_use().id)
    with upload_problems():
        receipt = Intake(context.store, context.ledger, recording(None)).copy(name, asked, draft.key)
    try:
        context.temporal.announce(ObjectArrived(receipt.made.bucket, receipt.made.key, receipt.made.id))
    except Unreachable as error:
        log.warning("not announced", import_id=receipt.made.id, error=str(error))  # S3's event or reconciliation will
    try:
        remove_draft(context.store, draft)
    except BulkheadError as error:
        log.warning("draft not removed", error=str(error))  # retention will
    return receipt.made


def leave_out(draft: Draft, dataset: str, headers: Sequence[str], unused: Sequence[str]) -> None:
    """Remember for files with these headers that some of their columns are not used, as an upload page would."""
    if unused:
        app_context().ledger.mappings.keep(
            *(dataset, list(headers), dict.fromkeys(unused, "")), by=key_in_use().id, filename=draft.filename
        )


def options_for(draft: Draft, dataset: str) -> Options:
    """Return the options to import a draft with: the columns that were left out when the dataset was made of it."""
    remembered = app_context().ledger.mappings.of_file(dataset, draft.filename)
    return Options(mapping=remembered.mapping) if remembered else Options()
