"""Look at, list, copy and delete the objects of a bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.adapters.s3_bucket import Bucket
from pipeline.adapters.s3_errors import NotThere, not_there, s3_errors, status_of
from pipeline.errors import Unreachable

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef


@dataclass(frozen=True)
class Stored:
    """The description of an object. ``sha256`` is known only after a transfer of its bytes; otherwise it is empty."""

    key: str
    size_bytes: int
    etag: str
    modified: datetime | None = None
    content_type: str = "application/octet-stream"
    sha256: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)  # given when it was stored; only head returns it


class Objects(Bucket):
    """The methods of a bucket that deal with objects as a whole."""

    def must_answer(self) -> None:
        """Raise Unreachable unless S3 answers: checked before a file is sent in vain."""
        self.head("readyz")

    def ensure_bucket(self) -> None:
        """Create the bucket unless it is there."""
        with s3_errors():
            try:
                self._s3.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                if status_of(error) != 404:
                    raise
                self._s3.create_bucket(Bucket=self.bucket)

    def head(self, key: str) -> Stored | None:
        """Return the description of the object at ``key``, or None."""
        with s3_errors():
            try:
                return stored_from(key, self._quick.head_object(Bucket=self.bucket, Key=key))
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise

    def pages(self, prefix: str, *, after: str = "") -> Iterator[Sequence[Stored]]:
        """Yield the objects under ``prefix`` and ``after`` that key, in the order of their keys, at most 1,000 at once."""
        listing = self._s3.get_paginator("list_objects_v2")
        with s3_errors():
            for page in listing.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=after):
                items = page.get("Contents", [])
                if items:
                    yield [Stored(i["Key"], i["Size"], i["ETag"].strip('"'), i["LastModified"]) for i in items]

    def folders(self, prefix: str) -> Iterator[Sequence[str]]:
        """Yield the prefixes one slash below ``prefix``, at most 1,000 at once."""
        with s3_errors():
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/"):
                if found := [one["Prefix"] for one in page.get("CommonPrefixes", [])]:
                    yield found

    def copy(self, key: str, to: str, *, metadata: Mapping[str, str] | None = None) -> Stored:
        """Copy an object to ``to`` within S3, with ``metadata`` in place of its own. Raises NotThere."""
        there = self.head(key)
        if there is None:
            raise NotThere(self._missing(key))
        own = {"ContentType": there.content_type, "Metadata": dict(metadata or {}), "MetadataDirective": "REPLACE"}
        with s3_errors(), not_there(self._missing(key)):  # it may have gone meanwhile
            self._s3.copy({"Bucket": self.bucket, "Key": key}, self.bucket, to, ExtraArgs=own)
        return replace(there, key=to, etag=getattr(self.head(to), "etag", ""), metadata=dict(metadata or {}))

    def copy_whole(self, key: str, to: str) -> None:
        """Copy an object of up to 5 GB, with its metadata, by one request. Raises NotThere."""
        with s3_errors(), not_there(self._missing(key)):
            self._s3.copy_object(CopySource={"Bucket": self.bucket, "Key": key}, Bucket=self.bucket, Key=to)

    def delete(self, key: str) -> None:
        """Delete an object; no error if there is none."""
        with s3_errors():
            self._quick.delete_object(Bucket=self.bucket, Key=key)

    def delete_if(self, stored: Stored) -> bool:
        """Delete an object if it is still the one that was listed; return False if it is another by now, or gone."""
        with s3_errors():
            try:
                self._s3.delete_object(Bucket=self.bucket, Key=stored.key, IfMatch=f'"{stored.etag}"')
            except ClientError as error:
                if status_of(error) in (404, 409, 412):
                    return False
                raise
        return True

    def delete_prefix(self, prefix: str) -> int:
        """Delete all objects under ``prefix``, 1,000 at once, and return their number. Raises Unreachable if some stay."""
        count = 0
        for page in self.pages(prefix):
            with s3_errors():
                wanted: list[ObjectIdentifierTypeDef] = [{"Key": stored.key} for stored in page]
                done = self._s3.delete_objects(Bucket=self.bucket, Delete={"Objects": wanted, "Quiet": True})
            if errors := done.get("Errors"):
                raise Unreachable(f"S3 does not remove {errors[0].get('Key')}: {errors[0].get('Message')}")
            count += len(page)
        if prefix.endswith("/"):
            self.delete_folder(prefix)
        return count

    def delete_folder(self, prefix: str) -> None:
        """Have SeaweedFS forget an empty folder; one that is not empty stays. Other implementations of S3 have no folders."""
        for page in [*self.folders(prefix)]:
            for folder in page:
                self.delete_folder(folder)
        self.delete(prefix)

    def list(self, prefix: str) -> Iterator[Stored]:
        """Yield the objects under ``prefix``, in the order of their keys."""
        for page in self.pages(prefix):
            yield from page

    def _missing(self, key: str) -> str:
        return f"There is no object {key!r} in the bucket {self.bucket!r}."


def stored_from(key: str, got: Any) -> Stored:
    """Return the description of an object in an answer to HEAD or GET."""
    kind = got.get("ContentType") or "application/octet-stream"
    said = got.get("Metadata") or {}
    return Stored(key, got["ContentLength"], got["ETag"].strip('"'), got["LastModified"], kind, metadata=said)
