"""The configuration of gunicorn: ``gunicorn -c python:web.gunicorn "web:create_app()"``.

Two processes of fourteen threads (see web/app_context.py). One upload may occupy a thread for hours; a worker's heartbeat
comes from another thread, so the timeout below is for a process that hangs, not for a slow request.

The app is loaded once before the processes are forked, and shares its memory with them; it connects to nothing before that.
"""

import ctypes
import gc
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from pipeline.settings import as_process, settings_for

M_MMAP_THRESHOLD, BLOCK_BYTES = -3, 1 << 20
"""The parameter's number in glibc (mallopt(3)), and the size from which an allocation is part of an upload."""

with as_process("web"):
    _settings = settings_for("DATABASE_URL", "BULKHEAD_SECRET_KEY")
_address = urlsplit(_settings.url)

bind = f"{_settings.bind}:{_settings.port or _address.port or 8765}"
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


def when_ready(server: Any) -> None:
    """Freeze the objects made so far: garbage collection in the children would copy the memory pages that they share."""
    gc.collect()
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    """Have large blocks returned to the system when freed; otherwise each thread's heap keeps some for ever."""
    with suppress(AttributeError, OSError):  # not glibc
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def post_worker_init(worker: Any) -> None:
    """Let the app know when its process is asked to stop, so that event streams end and delay no shutdown."""
    worker.wsgi.extensions["at_work"] = lambda: worker.alive
