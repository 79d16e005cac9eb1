"""The event relay from an object store to the Lambda; in AWS, S3's notifications and Lambda's event queue do the same.

SeaweedFS posts its own JSON for every write. A finished object under ``incoming/`` becomes the event that S3 would have sent.
Other stores (MinIO, Ceph) post the event of S3 itself. It is stored on disk before the post is answered, and then given to
``lambda/handler.py`` with the retry policy of AWS for asynchronous calls: two more attempts, then a dead letter.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import structlog

from pipeline import expired_files, logs
from pipeline.contracts.object_keys import dataset_of
from pipeline.local.ports import HOST
from pipeline.process_environment import export_for_lambda
from pipeline.root import ROOT
from pipeline.secret_checks import as_process, settings_for
from pipeline.telemetry import metrics
from pipeline.telemetry.catalog import RELAY_DELIVERIES, RELAY_EVENTS

BUCKETS = "/buckets/"
PAUSES_SECONDS = (1.0, 4.0)
"""Before the second and the third attempt. Lambda waits one and two minutes, longer than needed on one machine."""

BODY_BYTES_MOST = 1 << 20
DRAIN_BYTES_MOST = 64 << 20
"""How much of a refused body is read: a client that is still sending would not read the answer."""

REQUEST_SECONDS = 30
"""How long a thread waits for the next byte of a request."""

CLEAN_SECONDS = 3600.0
THREADS = 4

Handle = Callable[[dict[str, Any], object], object]
log = structlog.get_logger()


class Malformed(ValueError):
    """The body is not an event of SeaweedFS."""


_WRONG = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, OSError)
"""What Python raises for JSON of the wrong shape, too large numbers, too deep nesting, and invalid times."""


# --- from SeaweedFS's events to S3's ---


def event_in(body: bytes) -> dict[str, Any] | None:
    """Return the S3 event for a body that an object store posted; None if it is not relevant. Raises Malformed."""
    try:
        posted = json.loads(body)
        return s3_notification(posted) if "Records" in posted else s3_event(posted)
    except _WRONG as error:
        raise Malformed(f"{type(error).__name__}: {error}") from error


def s3_event(posted: Mapping[str, Any], *, region: str = "us-east-1") -> dict[str, Any] | None:
    """Return the event that S3 would send; None for a folder, a part of an upload, or an object not under incoming/."""
    path, entry = str(posted.get("key", "")), (posted.get("message") or {}).get("new_entry") or {}
    bucket, _, key = path.removeprefix(BUCKETS).partition("/")
    if not path.startswith(BUCKETS) or not entry or entry.get("is_directory") or not dataset_of(key):
        return None
    return {"Records": [_record(bucket, key, entry, region)]}


def s3_notification(posted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an event that already has the form of S3's, without what is not relevant; None if nothing is left.

    MinIO writes ``s3:ObjectCreated:Put`` where S3 writes ``ObjectCreated:Put``.
    """
    records = [{**record, "eventName": str(record["eventName"]).removeprefix("s3:")} for record in posted["Records"] or ()]
    kept = [
        record
        for record in records
        if record["eventName"].startswith("ObjectCreated:") and dataset_of(unquote_plus(record["s3"]["object"]["key"]))
    ]
    return {"Records": kept} if kept else None


def _record(bucket: str, key: str, entry: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Return one complete record of AWS's "Event message structure" (version 2.1)."""
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


# --- the queue ---


class EventQueue:
    """Events for the Lambda. An accepted one stays on disk until it has been handled or is a dead letter.

    Dead letters are kept for ``keep``; None: for ever.
    """

    def __init__(
        self,
        folder: Path,
        handle: Handle,
        *,
        pauses_seconds: tuple[float, ...] = PAUSES_SECONDS,
        keep: timedelta | None = None,
    ) -> None:
        self._spool, self._dead = folder / "spool", folder / "dead-letters"
        for one in (self._spool, self._dead):
            one.mkdir(parents=True, exist_ok=True)
        self._handle = handle
        self._pauses_seconds = pauses_seconds
        self._keep = keep
        self._waiting: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for unfinished in self._spool.glob("*.new"):  # from a relay that was killed before it had answered: not accepted
            unfinished.unlink(missing_ok=True)
        for left in sorted(self._spool.glob("*.json")):
            self._waiting.put(left)
        for number in range(THREADS):
            threading.Thread(target=self._work, name=f"delivery {number}", daemon=True).start()
        threading.Thread(target=self._clean_up, name="clean-up", daemon=True).start()

    def accept(self, event: Mapping[str, Any]) -> None:
        """Store an event on disk; from now on it is delivered even if the relay is killed or the power fails.

        Raises OSError if it cannot be written.
        """
        path = self._spool / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.json"
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(json.dumps(event))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync_folder(self._spool)
        self._waiting.put(path)

    def _work(self) -> None:
        while True:
            path = self._waiting.get()
            try:
                self._deliver(path)
            except Exception:  # one file must not end the thread, which delivers all later ones
                log.exception("event not delivered", spooled=path.name)

    def _clean_up(self) -> None:
        while self._keep is not None:
            try:
                expired_files.remove(self._dead, time.time() - self._keep.total_seconds())
            except OSError as error:
                log.warning("dead letters not removed", error=str(error))
            time.sleep(CLEAN_SECONDS)

    def _read(self, path: Path) -> dict[str, Any] | None:
        """Return the event in a file; None for one that cannot be read, which is moved to the dead letters."""
        try:
            event = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(event, dict):
                return event
            why = "not an event"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            why = f"{type(error).__name__}: {error}"
        log.error("unreadable event moved to the dead letters", spooled=path.name, error=why)
        path.replace(self._dead / f"{path.stem}.unreadable")
        metrics.count(RELAY_DELIVERIES, result="dead_letter")
        return None

    def _deliver(self, path: Path) -> None:
        event = self._read(path)
        if event is None:
            return
        for pause in (*self._pauses_seconds, None):
            try:
                self._handle(event, None)
                metrics.count(RELAY_DELIVERIES, result="delivered")
                break
            except Exception as error:
                log.warning("the Lambda failed", error=str(error), spooled=path.stem)
                metrics.count(RELAY_DELIVERIES, result="failed" if pause is not None else "dead_letter")
                if pause is None:
                    letter = {"event": event, "error": f"{type(error).__name__}: {error}"}
                    (self._dead / path.name).write_text(json.dumps(letter, indent=2))
                    break
                time.sleep(pause)
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- the server that SeaweedFS posts to ---


def make_server(port: int, token: str, deliveries: EventQueue, *, bind: str = HOST) -> ThreadingHTTPServer:
    """Return a server that accepts ``POST /filer`` with the bearer token, and answers ``GET /healthz``."""

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS

        def do_POST(self) -> None:
            """Answer 200 only once the event is on disk; each kind of invalid request has its own status."""
            length = self._length()
            if not compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()):
                self._drain(length or 0)
                return self._answer_post(401)
            if length is None:
                return self._answer_post(400)
            if length > BODY_BYTES_MOST:
                self._drain(length)
                return self._answer_post(413)
            try:
                event = event_in(self.rfile.read(length))
                if event:
                    deliveries.accept(event)
            except Malformed as error:
                log.warning("malformed event refused", error=str(error)[:200])
                return self._answer_post(400)
            except OSError as error:  # the disk is full, or the client is too slow
                log.warning("event not accepted", error=str(error))
                return self._answer_post(503)
            return self._answer_post(200, result="accepted" if event else "ignored")

        def _answer_post(self, status: int, result: str = "") -> None:
            metrics.count(RELAY_EVENTS, result=result or ("malformed" if status in (400, 413) else "refused"))
            self._answer(status)

        def _length(self) -> int | None:
            """Return the Content-Length; None if it is missing or invalid."""
            said = self.headers.get("Content-Length", "")
            return int(said) if said.isascii() and said.isdigit() and len(said) <= 18 else None

        def _drain(self, length: int) -> None:
            left = min(length, DRAIN_BYTES_MOST)
            with suppress(OSError):
                while left > 0 and (chunk := self.rfile.read(min(left, BODY_BYTES_MOST))):
                    left -= len(chunk)

        def do_GET(self) -> None:
            self._answer(200 if self.path == "/healthz" else 404)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Log no line for each request, since they would hide all others."""

    return ThreadingHTTPServer((bind, port), Handler)


def main() -> None:
    """Entry point of ``python -m pipeline.local.relay``."""
    settings = settings_for("BULKHEAD_RELAY_TOKEN", folder="relay")
    logs.configure(settings.log_format)
    export_for_lambda(settings)
    sys.path.append(str(ROOT))  # where lambda/ is
    handle: Handle = importlib.import_module("lambda.handler").handle
    deliveries = EventQueue(settings.relay_dir, handle, keep=settings.keep_dead_letters)
    if settings.metrics_port is not None:
        from pipeline.local.relay_metrics import start_relay_metrics

        start_relay_metrics(settings)
    server = make_server(settings.relay_port, settings.relay_token, deliveries, bind=settings.bind)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    with as_process("relay"):
        main()
