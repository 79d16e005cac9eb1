"""The configuration of gunicorn: ``gunicorn -c python:web.gunicorn "web:create_app()"``.

Two processes of fourteen threads (see web/app_context.py). One upload may occupy a thread for hours; a worker's heartbeat
comes from another thread, so the timeout below is for a process that hangs, not for a slow request.

The app is loaded once before the processes are forked, and shares its memory with them; it connects to nothing before that.
"""

import ctypes
import gc
from contextlib import suppress
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from pipeline.adapters.postgres_access import to_database
from pipeline.ledger.audit_settings import record_start
from pipeline.process_environment import share_metrics
from pipeline.secret_checks import as_process, settings_for

M_MMAP_THRESHOLD, BLOCK_BYTES = -3, 1 << 20
"""The parameter's number in glibc (mallopt(3)), and the size from which an allocation is part of an upload."""

with as_process("web"):
    _settings = settings_for("DATABASE_URL", "BULKHEAD_SECRET_KEY")
_address = urlsplit(_settings.url)

_port = _settings.port or _address.port or 8765
bind = [f"{_settings.bind}:{_port}"]
if _settings.has_metrics:
    from pipeline.monitoring.start import empty_shared_folder

    with as_process("web"):
        share_metrics(empty_shared_folder(_settings, f"web-{_port}"))  # before the app is loaded
if _settings.metrics_port is not None:
    bind.append(f"{_settings.metrics_bind}:{_settings.metrics_port}")
if _settings.has_tls:
    certfile, keyfile = _settings.tls_certificate, _settings.tls_key  # also for the metrics' port
preload_app = True
worker_class = "gthread"
workers = 2
threads = 14
worker_connections = 200
timeout = 60
graceful_timeout = 30
keepalive = 15
accesslog = None  # the app logs each request itself, without query strings
errorlog = "-"
loglevel = "warning"
proc_name = "bulkhead web"
limit_request_line = 8190


def on_starting(server: Any) -> None:
    """Refuse to start on a database that this release cannot run on."""
    from pipeline.warehouse import schema_version

    with as_process("web"):
        schema_version.require(to_database(_settings))


def when_ready(server: Any) -> None:
    """Freeze the objects made so far: garbage collection in the children would copy the memory pages that they share."""
    gc.collect()
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    """Have large blocks returned to the system when freed; otherwise each thread's heap keeps some for ever."""
    with suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def child_exit(server: Any, worker: Any) -> None:
    """Forget the gauges of a process that has ended. What it counted stays counted."""
    if _settings.has_metrics:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)


def post_worker_init(worker: Any) -> None:
    """Let the app know when its process is asked to stop, so that event streams end and delay no shutdown.

    The first of the processes records changed settings in the audit log, beside its work: PostgreSQL may be away.
    """
    worker.wsgi.extensions["at_work"] = lambda: worker.alive
    if worker.age == 1:
        Thread(target=record_start, args=(_settings, "web"), name="settings", daemon=True).start()
