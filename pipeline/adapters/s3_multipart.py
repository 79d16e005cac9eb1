"""Multipart uploads that clients send straight to S3, by presigned URLs, and those that were left open.

Who holds a presigned URL can do that one request until it expires, without an S3 key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.adapters.s3_bucket import Bucket
from pipeline.adapters.s3_errors import NotWhole, not_there, s3_errors, status_of

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef


@dataclass(frozen=True)
class Part:
    """One part of a multipart upload, as S3 keeps it. ``etag`` is without quotes."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True)
class OpenUpload:
    """A multipart upload that is neither completed nor aborted."""

    key: str
    upload_id: str
    begun: datetime


class MultipartUploads(Bucket):
    """The methods of a bucket that deal with multipart uploads and presigned URLs."""

    def begin_upload(self, key: str, *, metadata: Mapping[str, str] | None = None) -> str:
        """Begin a multipart upload and return its id."""
        with s3_errors():
            return self._quick.create_multipart_upload(Bucket=self.bucket, Key=key, Metadata=metadata or {})["UploadId"]

    def sign_part(self, key: str, upload_id: str, number: int, *, seconds: int) -> str:
        """Return the presigned URL to which a part can be PUT for ``seconds``. Whether the upload exists is not checked."""
        asked = {"Bucket": self.bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        return self._signer.generate_presigned_url("upload_part", Params=asked, ExpiresIn=seconds)

    @cached_property
    def public_origin(self) -> str:
        """Scheme, host and port of the presigned URLs; empty if nothing can be signed."""
        try:
            signed = urlsplit(self.sign_part("x", "x", 1, seconds=1))
        except BotoCoreError:  # there are no credentials
            return ""
        return f"{signed.scheme}://{signed.netloc}"

    def sign_form(
        self, key: str, *, bytes_max: int, seconds: int, metadata: Mapping[str, str] | None = None
    ) -> tuple[str, dict[str, str]]:
        """Return the URL and the fields of a form with which one file can be POSTed to ``key``; S3 refuses a larger one.

        ``metadata`` is among the signed fields: S3 refuses the form without it, or with other values.
        """
        fields = {f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()}
        conditions = [["content-length-range", 1, bytes_max], *({name: value} for name, value in fields.items())]
        form = self._signer.generate_presigned_post(self.bucket, key, Fields=fields, Conditions=conditions, ExpiresIn=seconds)
        return form["url"], dict(form["fields"])

    def parts(self, key: str, upload_id: str) -> Sequence[Part]:
        """Return the parts that S3 has, in order. Raises NotThere if the upload is over."""
        asked = self._quick.get_paginator("list_parts")
        with s3_errors(), not_there(f"There is no upload {upload_id!r} to {key!r}."):
            pages = asked.paginate(Bucket=self.bucket, Key=key, UploadId=upload_id)
            found = [part for page in pages for part in page.get("Parts", [])]
        return [Part(one["PartNumber"], one["Size"], one["ETag"].strip('"')) for one in found]

    def complete(self, key: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> None:
        """Make an object of these parts, given as (number, ETag).

        Raises NotThere if the upload is over, NotWhole if S3 refuses the parts.
        """
        wanted: list[CompletedPartTypeDef] = [{"PartNumber": number, "ETag": f'"{etag}"'} for number, etag in parts]
        with s3_errors(), not_there(f"There is no upload {upload_id!r} to {key!r}."):
            try:
                self._s3.complete_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": wanted}
                )
            except ClientError as error:
                if status_of(error) == 400:
                    raise NotWhole(str(error)) from error
                raise

    def uploads(self, prefix: str) -> Iterator[Sequence[OpenUpload]]:
        """Yield the open multipart uploads to keys under ``prefix``, at most 1,000 at once."""
        with s3_errors():
            for page in self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=prefix):
                if found := page.get("Uploads", []):
                    yield [OpenUpload(one["Key"], one["UploadId"], one["Initiated"]) for one in found]

    def last_heard(self, upload: OpenUpload) -> datetime:
        """Return when an open upload last received a part."""
        last = upload.begun
        with s3_errors():
            try:
                pages = self._s3.get_paginator("list_parts").paginate(
                    Bucket=self.bucket, Key=upload.key, UploadId=upload.upload_id
                )
                for page in pages:
                    last = max([last, *(part["LastModified"] for part in page.get("Parts", []))])
            except ClientError as error:
                if status_of(error) != 404:  # it has ended meanwhile
                    raise
        return last

    def abort(self, key: str, upload_id: str) -> None:
        """Abort a multipart upload and delete its parts; no error if it is over."""
        with s3_errors():
            try:
                self._quick.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
            except ClientError as error:
                if status_of(error) != 404:
                    raise
