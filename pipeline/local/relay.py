"""The event relay: stands between SeaweedFS and the Lambda, as S3's notifications and Lambda's event queue do in AWS.

SeaweedFS posts its filer's own JSON for everything that is written. What is a finished object under ``incoming/`` becomes the
event that S3 would have sent, is put on disk before the post is answered, and is then handed to ``lambda/handler.py`` with
AWS's manners for asynchronous calls: two more tries, then a dead letter.
"""

from __future__ import annotations

import base64
import importlib
import json
import queue
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import structlog

from pipeline import logs
from pipeline.contracts import dataset_of
from pipeline.local.ports import HOST
from pipeline.settings import as_process, settings_for

BUCKETS = "/buckets/"
PAUSES_SECONDS = (1.0, 4.0)
"""Before the second and the third try. Lambda waits one and two minutes; on one machine nobody wants to."""

BODY_BYTES_MOST = 1 << 20
THREADS = 4

Handle = Callable[[dict[str, Any], object], object]
log = structlog.get_logger()


# --- SeaweedFS's words into S3's ---


def s3_event(posted: Mapping[str, Any], *, region: str = "us-east-1") -> dict[str, Any] | None:
    """The event S3 would send for what the filer posted, or None: a folder, a piece of an upload, not under incoming/."""
    path, entry = str(posted.get("key", "")), (posted.get("message") or {}).get("new_entry") or {}
    bucket, _, key = path.removeprefix(BUCKETS).partition("/")
    if not path.startswith(BUCKETS) or not entry or entry.get("is_directory") or not dataset_of(key):
        return None
    return {"Records": [_record(bucket, key, entry, region)]}


def _record(bucket: str, key: str, entry: Mapping[str, Any], region: str) -> dict[str, Any]:
    """One record as in AWS's "Event message structure" (version 2.1), in full."""
    attributes, etag = entry.get("attributes") or {}, _etag(entry)
    nanoseconds = int(attributes.get("mtime", 0)) * 10**9 + int(attributes.get("mtime_ns", 0))
    newest = max((int(chunk.get("modified_ts_ns", 0)) for chunk in entry.get("chunks") or []), default=nanoseconds)
    multipart = "-" in etag
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": datetime.fromtimestamp(nanoseconds / 1e9, tz=UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        "eventName": "ObjectCreated:CompleteMultipartUpload" if multipart else "ObjectCreated:Put",
        "userIdentity": {"principalId": "bulkhead"},
        "requestParameters": {"sourceIPAddress": HOST},
        "responseElements": {"x-amz-request-id": uuid.uuid4().hex[:16].upper(), "x-amz-id-2": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "incoming",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "bulkhead"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": int(attributes.get("file_size", 0)),
                "eTag": etag,
                "sequencer": f"{max(newest, nanoseconds):016X}",
            },
        },
    }


def _etag(entry: Mapping[str, Any]) -> str:
    kept = (entry.get("extended") or {}).get("Seaweed-X-Amz-ETag")
    if kept:
        return base64.b64decode(kept).decode()
    return base64.b64decode((entry.get("attributes") or {}).get("md5") or "").hex()


# --- The queue between them ---


class Deliveries:
    """Events on their way to the Lambda. One that was accepted is on disk until it was handled or is a dead letter."""

    def __init__(self, folder: Path, handle: Handle, *, pauses_seconds: tuple[float, ...] = PAUSES_SECONDS) -> None:
        self._spool, self._dead = folder / "spool", folder / "dead-letters"
        for one in (self._spool, self._dead):
            one.mkdir(parents=True, exist_ok=True)
        self._handle = handle
        self._pauses_seconds = pauses_seconds
        self._waiting: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for left in sorted(self._spool.glob("*.json")):
            self._waiting.put(left)
        for number in range(THREADS):
            threading.Thread(target=self._work, name=f"delivery {number}", daemon=True).start()

    def accept(self, event: Mapping[str, Any]) -> None:
        """Put an event on disk; it will be delivered, also if the relay is killed now."""
        path = self._spool / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(event))
        fresh.replace(path)
        self._waiting.put(path)

    def _work(self) -> None:
        while True:
            self._deliver(self._waiting.get())

    def _deliver(self, path: Path) -> None:
        event = json.loads(path.read_text())
        for pause in (*self._pauses_seconds, None):
            try:
                self._handle(event, None)
                break
            except Exception as error:
                log.warning("the Lambda failed", error=str(error), spooled=path.stem)
                if pause is None:
                    letter = {"event": event, "error": f"{type(error).__name__}: {error}"}
                    (self._dead / path.name).write_text(json.dumps(letter, indent=2))
                    break
                time.sleep(pause)
        path.unlink()


# --- The server that SeaweedFS posts to ---


def make_server(port: int, token: str, deliveries: Deliveries, *, bind: str = HOST) -> ThreadingHTTPServer:
    """A server that takes ``POST /filer`` with the bearer token, and answers ``GET /healthz``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()):
                return self._answer(401)
            length = int(self.headers.get("Content-Length") or 0)
            if length > BODY_BYTES_MOST:
                return self._answer(413)
            try:
                event = s3_event(json.loads(self.rfile.read(length)))
            except (ValueError, TypeError, AttributeError):
                return self._answer(400)
            if event:
                deliveries.accept(event)
            return self._answer(200)

        def do_GET(self) -> None:
            self._answer(200 if self.path == "/healthz" else 404)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """One line per post would drown the others."""

    return ThreadingHTTPServer((bind, port), Handler)


def main() -> None:
    """Entry point of ``python -m pipeline.local.relay``."""
    settings = settings_for("BULKHEAD_RELAY_TOKEN", folder="relay")
    logs.configure(settings.log_format)
    handle: Handle = importlib.import_module("lambda.handler").handle
    deliveries = Deliveries(settings.home / "relay", handle)
    server = make_server(settings.relay_port, settings.relay_token, deliveries, bind=settings.bind)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    with as_process("relay"):
        main()
