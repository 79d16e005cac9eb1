"""Metadata of uploaded files: the import's ID and what the upload asked for, stored with the object.

With them an import can be restored from its object if the ledger has lost its row (docs/decisions/0022).
"""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.contracts.options import Options
from pipeline.contracts.traceparent import TRACEPARENT, valid_traceparent
from pipeline.ledger.models import ImportRecord

IMPORT_ID = "import-id"
"""Metadata of every uploaded file (``x-amz-meta-import-id``)."""

ASKED = "import"
"""Metadata of an uploaded file: its UploadRequest as base64url of compressed JSON."""

FORCE = "force"
"""Metadata of a dropped file (``x-amz-meta-force: true``) that is to be imported even if its content was imported before."""

METADATA_BYTES_MAX = 2_048
"""S3's limit for the bytes of all names and values together."""

ASKED_BYTES_MAX = 64 << 10
"""Limit of the decompressed JSON; all that ``metadata_of`` writes is smaller."""


@dataclass(frozen=True)
class UploadRequest:
    """What an upload asks for, and who made it: all of the import's row that cannot be found out from the file.

    ``filename`` is the name for people; ``created_by`` the ID of the API key; ``retry_of`` the import whose records this is a
    retry of. ``traceparent`` is the span that the import belongs to.
    """

    options: Options = field(default_factory=Options)
    filename: str = ""
    created_by: str | None = None
    retry_of: str | None = None
    traceparent: str | None = None


def metadata_of(import_id: str, asked: UploadRequest) -> dict[str, str]:
    """Return the metadata to store with an uploaded file; without the request if that would be more than S3 stores."""
    said = {"options": asked.options.to_json(), "filename": asked.filename}
    said |= {name: id_ for name in ("created_by", "retry_of") if (id_ := getattr(asked, name))}
    packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(said).encode(), 9)).decode("ascii")
    least = {IMPORT_ID: import_id} | ({TRACEPARENT: asked.traceparent} if asked.traceparent else {})
    metadata = {**least, ASKED: packed}
    size = sum(len(name) + len(value) for name, value in metadata.items())
    return metadata if size <= METADATA_BYTES_MAX else least


def asked_in(metadata: Mapping[str, str]) -> UploadRequest | None:
    """Return the request that ``metadata_of`` wrote; None if it is missing or damaged."""
    try:
        unpack = zlib.decompressobj()
        text = unpack.decompress(base64.urlsafe_b64decode(metadata.get(ASKED, "")), ASKED_BYTES_MAX)
        if not unpack.eof:
            return None
        said = json.loads(text)
        options = Options.from_json(said["options"])
        ids = {name: str(uuid.UUID(said[name])) for name in ("created_by", "retry_of") if said.get(name)}
        return UploadRequest(options, str(said["filename"]), **ids, traceparent=valid_traceparent(metadata.get(TRACEPARENT)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, zlib.error):
        return None


def request_of(one: ImportRecord) -> UploadRequest:
    """Return the request that an import was made of."""
    return UploadRequest(one.options, one.filename, one.created_by, one.retry_of, one.traceparent)
