"""What an object store tells of itself and of a bucket: its clock, and the bucket's configuration as far as it may be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.adapters.s3 import Store
from pipeline.adapters.s3_errors import status_of


@dataclass(frozen=True)
class S3Health:
    """A bucket as its store describes it. None: the store did not answer that question, or may not."""

    clock: datetime | None
    server: str
    versioning: str | None  # Enabled, Suspended or Off
    lifecycle: tuple[str, ...] | None  # the prefix of each rule that removes current objects; empty for the whole bucket
    cors_origins: tuple[str, ...] | None


def look(store: Store) -> S3Health:
    """Ask the store. What this client may not see is None: a role for uploads needs no right to look at the bucket."""
    s3, bucket = store._s3, store.bucket
    head = _answer(lambda: s3.head_bucket(Bucket=bucket), {}) or {}
    headers = head.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    versioning = _answer(lambda: s3.get_bucket_versioning(Bucket=bucket), {})
    rules = _answer(lambda: s3.get_bucket_lifecycle_configuration(Bucket=bucket), {})
    cors = _answer(lambda: s3.get_bucket_cors(Bucket=bucket), {})
    return S3Health(
        clock=_moment(headers.get("date", "")),
        server=headers.get("server", ""),
        versioning=None if versioning is None else str(versioning.get("Status") or "Off"),
        lifecycle=None if rules is None else tuple(_prefix(rule) for rule in rules.get("Rules", ()) if _removes(rule)),
        cors_origins=None
        if cors is None
        else tuple(origin for rule in cors.get("CORSRules", ()) for origin in rule["AllowedOrigins"]),
    )


def _answer(ask: Callable[[], Any], nothing: dict[str, Any]) -> Any:
    """Return the answer, ``nothing`` if there is no such configuration, None if the store does not answer."""
    try:
        return ask()
    except ClientError as error:
        return nothing if status_of(error) == 404 else None
    except BotoCoreError:
        return None


def _removes(rule: Any) -> bool:
    return rule.get("Status") == "Enabled" and "Expiration" in rule and "ExpiredObjectDeleteMarker" not in rule["Expiration"]


def _prefix(rule: Any) -> str:
    chosen = rule.get("Filter") or {}
    return str(rule.get("Prefix") or chosen.get("Prefix") or (chosen.get("And") or {}).get("Prefix") or "")


def _moment(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
