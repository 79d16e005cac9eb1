"""How gunicorn serves the app: ``gunicorn -c python:web.gunicorn "web:create_app()"``.

Two processes of twelve threads (web/edges.py says what for). A thread may be busy with one upload for hours; the
worker's own heartbeat comes from another thread, so the time-out below is for a process that hangs, not for a request
that takes long.

The app is loaded once, before the processes are forked, which then share its memory; it connects to nothing until then.
"""

import gc
from typing import Any
from urllib.parse import urlsplit

from pipeline import sandbox
from pipeline.settings import load_settings

_settings = load_settings()
_address = urlsplit(_settings.url)

bind = f"{_settings.bind}:{_settings.port or _address.port or 8765}"
preload_app = True
worker_class = "gthread"
workers = 2
threads = 12
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


def post_worker_init(worker: Any) -> None:
    """Let the app know when its process is asked to stop: what it streams ends then, and nobody waits for it."""
    worker.wsgi.extensions["at_work"] = lambda: worker.alive
    sandbox.PRELOAD[:] = ["pipeline.preview"]  # all that is read here is the beginning of a file
