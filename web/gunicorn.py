"""How gunicorn serves the app: ``gunicorn -c python:web.gunicorn "web:create_app()"``.

Two processes of fourteen threads (web/app_context.py says what for). A thread may be busy with one upload for hours; the
worker's own heartbeat comes from another thread, so the time-out below is for a process that hangs, not for a request
that takes long.

The app is loaded once, before the processes are forked, which then share its memory; it connects to nothing until then.
"""

import ctypes
import gc
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from pipeline.settings import as_process, settings_for

M_MMAP_THRESHOLD, BLOCK_BYTES = -3, 1 << 20
"""glibc's name for it (mallopt(3)), and what is a block of an upload's bytes rather than one of our own objects."""

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
accesslog = None  # the app writes its own line a request, without query strings
errorlog = "-"
loglevel = "warning"
proc_name = "bulkhead web"
limit_request_line = 8190


def when_ready(server: Any) -> None:
    """Before the fork: nobody looks through all of this for garbage again, and so copies the pages that it lies on."""
    gc.collect()
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    """Blocks of uploads go back to the system when they are done with; else each thread's heap would keep some for ever."""
    with suppress(AttributeError, OSError):  # another libc, that has no such thing
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def post_worker_init(worker: Any) -> None:
    """Let the app know when its process is asked to stop: what it streams ends then, and nobody waits for it."""
    worker.wsgi.extensions["at_work"] = lambda: worker.alive
