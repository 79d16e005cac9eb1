"""Errors of S3: what boto3 raises, as ours; and what S3 says that a caller has to handle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from pipeline.errors import SystemFault, Unreachable

TRANSIENT_STATUS = (408, 409, 423, 425, 429)
"""HTTP statuses of transient errors, beside those from 500: too slow, conflicting, locked, too early, too many requests."""

TRANSIENT_CODES = (
    *("RequestTimeout", "RequestTimeoutException", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"),
    *("RequestLimitExceeded", "RequestThrottled", "BandwidthLimitExceeded", "ServiceUnavailable", "InternalError"),
    *("OperationAborted", "ExpiredToken", "PriorRequestNotComplete"),
)
"""S3's codes of transient errors, whatever the status."""

_SETUP_ERRORS = (NoCredentialsError, PartialCredentialsError, ParamValidationError)
"""What boto3 raises before it sends anything."""


class NotThere(LookupError):
    """There is no such object or upload."""


class NotWhole(ValueError):
    """S3 does not make an object of these parts: one is missing, too small, out of order or has another ETag."""


class SilentS3(BotoCoreError):
    """S3 answers nothing, so nothing is sent; not retried."""

    fmt = "S3 does not answer"


def status_of(error: ClientError) -> int:
    """Return the HTTP status of S3's answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


@contextmanager
def not_there(message: str) -> Iterator[None]:
    """Raise NotThere with ``message`` if S3 answers 404."""
    try:
        yield
    except ClientError as error:
        if status_of(error) == 404:
            raise NotThere(message) from error
        raise


def _is_transient(error: ClientError) -> bool:
    status, code = status_of(error), str(error.response.get("Error", {}).get("Code", ""))
    return status >= 500 or status in TRANSIENT_STATUS or code in TRANSIENT_CODES


class s3_errors:  # noqa: N801 - reads as a statement: with s3_errors(): ...
    """Raise Unreachable if S3 does not answer or is overloaded, and SystemFault if it refuses the request."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, BotoCoreError | ClientError | Boto3Error):
            return
        answer = error
        if isinstance(error, Boto3Error) and isinstance(error.__context__, ClientError | BotoCoreError):
            answer = error.__context__  # S3UploadFailedError, around what S3 answered
        if isinstance(answer, _SETUP_ERRORS) or (isinstance(answer, ClientError) and not _is_transient(answer)):
            raise SystemFault(
                f"S3 refuses the request: {answer}. Check AWS_*, BULKHEAD_BUCKET and the bucket's rights."
            ) from error
        raise Unreachable(f"S3 does not answer as it should: {answer}") from error
