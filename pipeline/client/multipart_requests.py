"""The requests of a multipart upload to the server: presign the URL of a part, list the stored parts, complete, abort."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from pipeline.client.http import HttpClient
from pipeline.client.resume_state import ResumeState


def route(upload: ResumeState, rest: str = "") -> str:
    """Return the path of an upload, or of something within it."""
    return f"/s3/multipart/{quote(upload.upload_id, safe='')}{rest}?key={quote(upload.key, safe='')}"


def presign(api: HttpClient, upload: ResumeState, number: int) -> str:
    """Return a presigned URL to which one part can be sent."""
    return str(api.send("GET", route(upload, f"/{number}")).json()["url"])


def stored_parts(api: HttpClient, upload: ResumeState) -> dict[int, str]:
    """Return the ETags of the parts that S3 has completely, by number."""
    listed = api.send("GET", route(upload)).json()
    sizes = {number: length for number, (_, length) in ranges(upload).items()}
    return {one["PartNumber"]: one["ETag"] for one in listed if sizes.get(one["PartNumber"]) == one["Size"]}


def complete(api: HttpClient, upload: ResumeState, etags: Mapping[int, str]) -> None:
    """Complete an upload from its parts, whose ETags are given by number."""
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]
    api.send("POST", route(upload, "/complete"), json={"parts": parts})


def ranges(upload: ResumeState) -> dict[int, tuple[int, int]]:
    """Return the offset and length of each part, by number."""
    starts = range(0, upload.size_bytes, upload.part_bytes)
    return {n: (start, min(upload.part_bytes, upload.size_bytes - start)) for n, start in enumerate(starts, 1)}


def abort(api: HttpClient, upload: ResumeState) -> None:
    """Abort an upload: S3 deletes its parts."""
    api.send("DELETE", route(upload))
