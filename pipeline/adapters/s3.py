"""S3: one bucket as the rest of Bulkhead uses it. Only ``pipeline/adapters`` imports boto3."""

from __future__ import annotations

from pipeline.adapters.s3_errors import NotThere, NotWhole
from pipeline.adapters.s3_multipart import MultipartUploads, OpenUpload, Part
from pipeline.adapters.s3_objects import Stored
from pipeline.adapters.s3_transfers import CHUNK_BYTES, Readable, Transfers
from pipeline.settings import Settings

__all__ = ["CHUNK_BYTES", "NotThere", "NotWhole", "OpenUpload", "Part", "Readable", "Store", "Stored"]


class Store(Transfers, MultipartUploads):
    """One bucket. Safe to share between threads.

    Every method raises Unreachable if S3 does not answer or is overloaded (boto3 has retried by then), SystemFault if it
    refuses the request (a right, a bucket or credentials are missing). With ``answer_seconds``, for people who wait, it does so
    after that time without a second attempt if S3 is silent, and at once while S3 is known to be; only methods that move the
    bytes of files may take longer (READ_SECONDS without a byte).
    """

    @classmethod
    def of(cls, settings: Settings, *, answer_seconds: float | None = None) -> Store:
        """Return the store that the settings name."""
        return cls(
            settings.bucket,
            endpoint=settings.s3_endpoint,
            public_endpoint=settings.public_s3_endpoint,
            region=settings.s3_region,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            session_token=settings.s3_session_token,
            answer_seconds=answer_seconds,
        )
